// Gaussian blur of 8-bit pictures: columns, then rows, in float32, rounded once at the end.
//
// The weights come from the host. Sums run over them in order, multiplied and added one by one,
// so that the bytes are the same on host and device. Beyond an edge the edge is repeated.
#pragma once

#include "noise.h"

namespace fastclip {

// Position `at` on a line of `length` values, the ends repeated.
FASTCLIP_HD int clamped(int at, int length) { return at < 0 ? 0 : (at < length ? at : length - 1); }

// One value from the 2 radius + 1 around `position`, at distance `step` from each other.
template <class Value>
FASTCLIP_HD float blurred(const Value* line, int64_t step, int length, int position,
                          const float* weights, int radius) {
  float sum = 0.0f;
  for (int k = 0; k <= 2 * radius; ++k)
    sum += static_cast<float>(line[clamped(position + k - radius, length) * step]) * weights[k];
  return sum;
}

}  // namespace fastclip
