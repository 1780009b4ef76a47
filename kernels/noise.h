// Noise on 8-bit pictures, keyed by what the picture is and never by where it stands.
//
// Philox key      = noise seed (64 bits)
// Philox counter  = (element / 4, kind << 24 | draw, low and high half of the picture's key)
// word            = element % 4; element = (row * width + column) * 3 + channel
//
// The level is not in the counter: levels of one kind scale the same field. Results are clipped
// to [0, 255] and rounded half to even.
#pragma once

#include "normal.h"
#include "philox.h"

namespace fastclip {

enum class Kind : uint32_t { gaussian = 1, impulse = 2, uniform = 3, speckle = 4, shot = 5 };

constexpr int kShotThresholds = 255;

// `scale`: 255 sigma (gaussian), sigma (speckle), 255 width (uniform).
// `threshold`: amount * 2^31 (impulse).
// `table`: [256][255] thresholds of 31 bits (shot): a pixel of value x becomes the number of
// entries of row x that are at most the random word's upper 31 bits.
struct Level {
  float scale = 0.0f;
  uint32_t threshold = 0;
  const uint32_t* table = nullptr;
};

FASTCLIP_HD uint32_t counter_word(Kind kind, uint32_t draw) {
  return static_cast<uint32_t>(kind) << 24 | draw;
}

// Clip and round half to even: adding 2^23 leaves the rounded integer in the low bits.
FASTCLIP_HD uint8_t quantise(float value) {
  value = value > 0.0f ? value : 0.0f;
  value = value < 255.0f ? value : 255.0f;
  return static_cast<uint8_t>(as_bits(value + 0x1p23f));
}

FASTCLIP_HD uint8_t add_gaussian(uint8_t pixel, float normal, float scale) {
  return quantise(static_cast<float>(pixel) + normal * scale);
}

FASTCLIP_HD uint8_t add_speckle(uint8_t pixel, float normal, float scale) {
  const float value = static_cast<float>(pixel);
  return quantise(value + value * (normal * scale));
}

// Uniform on (-scale, scale).
FASTCLIP_HD uint8_t add_uniform(uint8_t pixel, uint32_t word, float scale) {
  const float centred =
      (static_cast<float>(static_cast<int32_t>(word >> 9)) + 0.5f) * 0x1p-22f - 1.0f;
  return quantise(static_cast<float>(pixel) + centred * scale);
}

// The upper 31 bits decide whether, the lowest bit whether salt (255) or pepper (0).
FASTCLIP_HD uint8_t add_impulse(uint8_t pixel, uint32_t word, uint32_t threshold) {
  const uint8_t grain = static_cast<uint8_t>(0u - (word & 1u));
  return (word >> 1) < threshold ? grain : pixel;
}

// Inverse CDF of the Poisson distribution, by bisection in the row of this intensity.
FASTCLIP_HD uint8_t add_shot(uint8_t pixel, uint32_t word, const uint32_t* table) {
  const uint32_t* row = table + static_cast<int>(pixel) * kShotThresholds;
  const uint32_t draw = word >> 1;
  uint32_t value = 0;
  FASTCLIP_UNROLL(8)
  for (uint32_t step = 128; step != 0; step >>= 1)
    value += step & (0u - static_cast<uint32_t>(draw >= row[value + step - 1]));
  return static_cast<uint8_t>(value);
}

}  // namespace fastclip
