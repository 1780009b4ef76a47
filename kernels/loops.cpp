#include "loops.h"

#include "resize.h"

#ifdef __SSE4_1__
#include <immintrin.h>
#endif

// No standard library templates here: this file is compiled for several instruction sets, and the
// linker would keep one copy of a shared function, perhaps one the processor cannot run.

namespace fastclip {
namespace {

constexpr int kLanes = 16;  // Philox blocks side by side
constexpr int kElements = 4 * kLanes;

// words[w][lane]: word w of block first + lane.
inline void random_words(uint32_t words[4][kLanes], uint32_t first, uint32_t kind_draw,
                         uint64_t picture, uint64_t seed) {
  const uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int lane = 0; lane < kLanes; ++lane) {
    uint32_t a = first + static_cast<uint32_t>(lane), b = kind_draw;
    uint32_t c = static_cast<uint32_t>(picture), d = static_cast<uint32_t>(picture >> 32);
    philox(a, b, c, d, k0, k1);
    words[0][lane] = a, words[1][lane] = b, words[2][lane] = c, words[3][lane] = d;
  }
}

inline void to_normals(const uint32_t words[4][kLanes], float normals[kElements]) {
  float planes[4][kLanes];
  for (int half = 0; half < 4; half += 2)
    for (int lane = 0; lane < kLanes; ++lane)
      normal_pair(words[half][lane], words[half + 1][lane], planes[half][lane],
                  planes[half + 1][lane]);
  for (int lane = 0; lane < kLanes; ++lane)
    for (int word = 0; word < 4; ++word) normals[4 * lane + word] = planes[word][lane];
}

inline void in_order(const uint32_t words[4][kLanes], uint32_t ordered[kElements]) {
  for (int lane = 0; lane < kLanes; ++lane)
    for (int word = 0; word < 4; ++word) ordered[4 * lane + word] = words[word][lane];
}

// One full group of 64 elements.
inline void group(Kind kind, const Level& level, const uint32_t words[4][kLanes], const uint8_t* in,
                  uint8_t* out) {
  if (kind == Kind::gaussian || kind == Kind::speckle) {
    float normals[kElements];
    to_normals(words, normals);
    if (kind == Kind::gaussian)
      for (int i = 0; i < kElements; ++i) out[i] = add_gaussian(in[i], normals[i], level.scale);
    else
      for (int i = 0; i < kElements; ++i) out[i] = add_speckle(in[i], normals[i], level.scale);
    return;
  }
  uint32_t ordered[kElements];
  in_order(words, ordered);
  if (kind == Kind::uniform)
    for (int i = 0; i < kElements; ++i) out[i] = add_uniform(in[i], ordered[i], level.scale);
  else if (kind == Kind::impulse)
    for (int i = 0; i < kElements; ++i) out[i] = add_impulse(in[i], ordered[i], level.threshold);
  else
    for (int i = 0; i < kElements; ++i) out[i] = add_shot(in[i], ordered[i], level.table);
}

void noise(Kind kind, const Level& level, uint64_t seed, uint64_t picture, uint32_t draw,
           uint32_t block, int64_t count, const uint8_t* in, uint8_t* out) {
  uint32_t words[4][kLanes];
  const uint32_t kind_draw = counter_word(kind, draw);
  for (int64_t done = 0; done < count; done += kElements, block += kLanes) {
    random_words(words, block, kind_draw, picture, seed);
    const int64_t left = count - done;
    if (left >= kElements) {
      group(kind, level, words, in + done, out + done);
    } else {  // the tail, through a buffer of full length
      uint8_t tail_in[kElements] = {0}, tail_out[kElements];
      memcpy(tail_in, in + done, static_cast<size_t>(left));
      group(kind, level, words, tail_in, tail_out);
      memcpy(out + done, tail_out, static_cast<size_t>(left));
    }
  }
}

// One RGB pixel from `taps` neighbours; `in` may be read one byte beyond the last of them.
inline void blend(const uint8_t* in, uint8_t* out, int taps, const int32_t* weights) {
#ifdef __SSE4_1__
  __m128i sums = _mm_set1_epi32(kHalf);
  for (int k = 0; k < taps; ++k) {
    int32_t bytes;
    memcpy(&bytes, in + 3 * k, sizeof bytes);
    const __m128i pixel = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(bytes));
    sums = _mm_add_epi32(sums, _mm_mullo_epi32(pixel, _mm_set1_epi32(weights[k])));
  }
  sums = _mm_srai_epi32(sums, kPrecisionBits);
  sums = _mm_packs_epi32(sums, sums);
  const int32_t result = _mm_cvtsi128_si32(_mm_packus_epi16(sums, sums));  // clips, as to_byte
  memcpy(out, &result, 3);
#else
  for (int channel = 0; channel < 3; ++channel)
    out[channel] = resample(in + channel, 3, weights, taps);
#endif
}

void horizontal(const uint8_t* in, int width, uint8_t* out, int columns, int taps,
                const int32_t* starts, const int32_t* weights) {
  for (int column = 0; column < columns; ++column, out += 3, weights += taps) {
    const uint8_t* first = in + 3 * starts[column];
    if (starts[column] + taps < width) {
      blend(first, out, taps, weights);
    } else {  // the row, and perhaps the picture, ends here
      for (int channel = 0; channel < 3; ++channel)
        out[channel] = resample(first + channel, 3, weights, taps);
    }
  }
}

void vertical(const uint8_t* in, int64_t pitch, uint8_t* out, int bytes, int taps,
              const int32_t* weights, int32_t* sums) {
  for (int i = 0; i < bytes; ++i) sums[i] = kHalf;
  for (int k = 0; k < taps; ++k) {
    const uint8_t* row = in + k * pitch;
    const int32_t weight = weights[k];
    for (int i = 0; i < bytes; ++i) sums[i] += row[i] * weight;
  }
  for (int i = 0; i < bytes; ++i) out[i] = to_byte(sums[i]);
}

void recolour(Colour kind, float factor, float shift, int64_t pixels, const uint8_t* in,
              uint8_t* out) {
  if (kind == Colour::brightness)
    for (int64_t i = 0; i < pixels; ++i) brighten(in + 3 * i, out + 3 * i, shift);
  else
    for (int64_t i = 0; i < pixels; ++i) saturate(in + 3 * i, out + 3 * i, factor, shift);
}

void blur_columns(const uint8_t* const* rows, int count, const float* weights, int bytes,
                  float* sums) {
  for (int i = 0; i < bytes; ++i) sums[i] = 0.0f;
  for (int k = 0; k < count; ++k) {
    const uint8_t* row = rows[k];
    const float weight = weights[k];
    for (int i = 0; i < bytes; ++i) sums[i] += static_cast<float>(row[i]) * weight;
  }
}

void blur_row(const float* line, int count, const float* weights, int bytes, float* sums,
              uint8_t* out) {
  for (int i = 0; i < bytes; ++i) sums[i] = 0.0f;
  for (int k = 0; k < count; ++k)
    for (int i = 0; i < bytes; ++i) sums[i] += line[i + 3 * k] * weights[k];
  for (int i = 0; i < bytes; ++i) out[i] = quantise(sums[i]);
}

}  // namespace

#define FASTCLIP_JOIN_(a, b) a##b
#define FASTCLIP_JOIN(a, b) FASTCLIP_JOIN_(a, b)
#define FASTCLIP_TEXT_(a) #a
#define FASTCLIP_TEXT(a) FASTCLIP_TEXT_(a)

extern const Loops FASTCLIP_JOIN(loops_, FASTCLIP_ISA);
const Loops FASTCLIP_JOIN(loops_, FASTCLIP_ISA) = {
    FASTCLIP_TEXT(FASTCLIP_ISA), noise, horizontal, vertical, recolour, blur_columns, blur_row};

}  // namespace fastclip
