// Resampling of 8-bit RGB as Pillow did it up to 12.1: antialiased, integer weights of 22 bits,
// horizontally first, 8 bits between the passes. Integers only: the same on host and device.
#pragma once

#include "common.h"

namespace fastclip {

constexpr int kPrecisionBits = 32 - 8 - 2;  // weights overshoot 1 a little, sums must fit 32 bits
constexpr int32_t kHalf = 1 << (kPrecisionBits - 1);

FASTCLIP_HD uint8_t to_byte(int32_t sum) {
  const int32_t value = sum >> kPrecisionBits;
  return static_cast<uint8_t>(value < 0 ? 0 : (value > 255 ? 255 : value));
}

// One output value from `count` inputs at distance `step`.
FASTCLIP_HD uint8_t resample(const uint8_t* in, int64_t step, const int32_t* weights, int count) {
  int32_t sum = kHalf;
  for (int k = 0; k < count; ++k) sum += static_cast<int32_t>(in[k * step]) * weights[k];
  return to_byte(sum);
}

}  // namespace fastclip
