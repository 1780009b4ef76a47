// Two normals from two random words, with nothing but multiplication, addition and square root.
//
// Those three are correctly rounded by IEEE 754 on every host and device, so with contraction off
// the bits are the same everywhere; the logarithms and sines of libm and CUDA are not. The
// polynomials are those of Cephes' single-precision logf, sinf and cosf (S. Moshier), on reduced
// arguments that are exact. Error to double precision: below 3e-5 absolute.
#pragma once

#include "common.h"

#ifndef __CUDACC__
#include <cmath>
#endif

namespace fastclip {

FASTCLIP_HD float square_root(float x) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(x);
#else
  return sqrtf(x);
#endif
}

// Uniform on (0, 1) with 23 bits: (word >> 9) + 1/2 is exact in a float.
FASTCLIP_HD float unit_uniform(uint32_t word) {
  return (static_cast<float>(static_cast<int32_t>(word >> 9)) + 0.5f) * 0x1p-23f;
}

// ln(u) for a normal float u in (0, 1).
FASTCLIP_HD float log_unit(float u) {
  // u = m 2^e with m in [sqrt(1/2), sqrt(2)): subtracting sqrt(1/2)'s bits carries into e there.
  const uint32_t shifted = as_bits(u) - 0x3F3504F3u;
  const float e = static_cast<float>(static_cast<int32_t>(shifted) >> 23);
  const float x = as_float((shifted & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
  const float z = x * x;
  float p = 7.0376836292e-2f;
  p = p * x + -1.1514610310e-1f;
  p = p * x + 1.1676998740e-1f;
  p = p * x + -1.2420140846e-1f;
  p = p * x + 1.4249322787e-1f;
  p = p * x + -1.6668057665e-1f;
  p = p * x + 2.0000714765e-1f;
  p = p * x + -2.4999993993e-1f;
  p = p * x + 3.3333331174e-1f;
  float y = p * x * z;
  y = y + e * -2.12194440e-4f;
  y = y + z * -0.5f;
  return (x + y) + e * 0.693359375f;
}

// Box-Muller: two independent standard normals.
FASTCLIP_HD void normal_pair(uint32_t radius_word, uint32_t angle_word, float& first,
                             float& second) {
  const float radius = square_root(log_unit(unit_uniform(radius_word)) * -2.0f);

  // The two top bits choose the quadrant; the next 24 are the angle in [-pi/4, pi/4].
  const int32_t fine = static_cast<int32_t>((angle_word >> 6) & 0x00FFFFFFu) - 0x00800000;
  const float x = (static_cast<float>(fine) + 0.5f) * (0x1p-24f * 1.57079632679489662f);
  const float z = x * x;
  const float sine =
      ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z + -1.6666654611e-1f) * z * x + x;
  const float cosine =
      ((2.443315711809948e-5f * z + -1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z +
      (z * -0.5f + 1.0f);

  // Quarter turns: swap on odd quadrants, then signs, all on bits.
  const uint32_t odd = 0u - ((angle_word >> 30) & 1u);
  const uint32_t s = as_bits(sine), c = as_bits(cosine);
  const uint32_t flip = angle_word & 0x80000000u;
  first = radius * as_float(((c & ~odd) | ((s ^ 0x80000000u) & odd)) ^ flip);
  second = radius * as_float(((s & ~odd) | (c & odd)) ^ flip);
}

}  // namespace fastclip
