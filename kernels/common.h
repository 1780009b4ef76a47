// What every kernel header needs to compile for the host and for a CUDA device.
//
// Everything here and in the headers that include it is `static inline`: the loops are compiled
// once per instruction set, and no copy may be shared between those objects.
#pragma once

#include <cstdint>
#include <cstring>

#define FASTCLIP_PRAGMA(text) _Pragma(#text)
#ifdef __CUDACC__
#define FASTCLIP_HD static __host__ __device__ __forceinline__
#else
#define FASTCLIP_HD static inline __attribute__((always_inline))
#endif

#ifdef __CUDA_ARCH__
#define FASTCLIP_UNROLL(times) FASTCLIP_PRAGMA(unroll times)
#elif defined(__CUDACC__)
#define FASTCLIP_UNROLL(times)  // nvcc's host pass knows neither
#else
#define FASTCLIP_UNROLL(times) FASTCLIP_PRAGMA(GCC unroll times)
#endif

namespace fastclip {

FASTCLIP_HD float as_float(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

FASTCLIP_HD uint32_t as_bits(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

}  // namespace fastclip
