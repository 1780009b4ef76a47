#include "blur.h"
#include "colour.h"
#include "host.h"
#include "parallel.h"

namespace fastclip {
namespace {

// Every channel has 256 values: one table each, made with the function a device uses.
void contrast_one(float factor, int64_t pixels, const uint8_t* in, uint8_t* out) {
  uint64_t sums[3] = {0, 0, 0};
  for (int64_t i = 0; i < pixels; ++i)
    for (int c = 0; c < 3; ++c) sums[c] += in[3 * i + c];
  uint8_t tables[3][256];
  for (int c = 0; c < 3; ++c) {
    const float mean = mean_of(sums[c], pixels);
    for (int value = 0; value < 256; ++value)
      tables[c][value] = contrasted(static_cast<uint8_t>(value), mean, factor);
  }
  for (int64_t i = 0; i < pixels; ++i)
    for (int c = 0; c < 3; ++c) out[3 * i + c] = tables[c][in[3 * i + c]];
}

void blur_one(const Loops& loops, const float* weights, int radius, int height, int width,
              const uint8_t* in, uint8_t* out) {
  const int bytes = width * 3, count = 2 * radius + 1;
  std::vector<const uint8_t*> rows(count);
  std::vector<float> line(static_cast<size_t>(bytes) + 6 * radius), sums(bytes);
  float* const first = line.data() + 3 * radius;
  for (int row = 0; row < height; ++row) {
    for (int k = 0; k < count; ++k)
      rows[k] = in + static_cast<int64_t>(clamped(row + k - radius, height)) * bytes;
    loops.blur_columns(rows.data(), count, weights, bytes, first);
    for (int i = 0; i < 3 * radius; ++i) {  // the ends, repeated
      line[i] = first[i % 3];
      first[bytes + i] = first[bytes - 3 + i % 3];
    }
    loops.blur_row(line.data(), count, weights, bytes, sums.data(),
                   out + static_cast<int64_t>(row) * bytes);
  }
}

}  // namespace

void recolour(const Loops& loops, Colour kind, float factor, float shift, int64_t pictures,
              int64_t pixels, const uint8_t* in, uint8_t* out, int threads) {
  parallel_for(pictures, threads, [&](int64_t i) {
    const int64_t offset = 3 * i * pixels;
    if (kind == Colour::contrast)
      contrast_one(factor, pixels, in + offset, out + offset);
    else
      loops.recolour(kind, factor, shift, pixels, in + offset, out + offset);
  });
}

void blur(const Loops& loops, const float* weights, int radius, int64_t pictures, int height,
          int width, const uint8_t* in, uint8_t* out, int threads) {
  const int64_t size = static_cast<int64_t>(height) * width * 3;
  parallel_for(pictures, threads, [&](int64_t i) {
    blur_one(loops, weights, radius, height, width, in + i * size, out + i * size);
  });
}

}  // namespace fastclip
