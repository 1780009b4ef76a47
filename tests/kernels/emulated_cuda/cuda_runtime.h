// Enough of CUDA's runtime for kernels/cuda.cu to be compiled as C++: a launch runs every thread of
// every block one after the other, device memory is the host's, in exact sizes for a sanitizer.
#pragma once

#include <cstdlib>
#include <cstring>

#define __global__
#define __device__

struct dim3 {
  unsigned int x, y, z;
  dim3(unsigned int x = 1, unsigned int y = 1, unsigned int z = 1) : x(x), y(y), z(z) {}
};
inline dim3 blockIdx, blockDim, threadIdx;

enum cudaError_t { cudaSuccess, cudaErrorInvalidConfiguration };
enum cudaMemcpyKind { cudaMemcpyHostToDevice };
using cudaStream_t = void*;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

inline cudaStream_t expected_stream;  // what a test passes: every call must be given it
inline bool right(cudaStream_t stream) { return stream == expected_stream; }

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const dim3 grid = config->gridDim;
  if (!right(config->stream) || grid.x == 0 || grid.x > 0x7FFFFFFFu || grid.y - 1 > 65534u)
    return cudaErrorInvalidConfiguration;
  blockDim = config->blockDim;
  for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
    for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) kernel(arguments...);
  return cudaSuccess;
}

inline cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t stream) {
  *data = malloc(bytes);
  return right(stream) ? cudaSuccess : cudaErrorInvalidConfiguration;
}
inline cudaError_t cudaFreeAsync(void* data, cudaStream_t) { return free(data), cudaSuccess; }
inline cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind,
                                   cudaStream_t stream) {
  memcpy(to, from, bytes);
  return right(stream) ? cudaSuccess : cudaErrorInvalidConfiguration;
}
inline cudaError_t cudaLaunchHostFunc(cudaStream_t stream, void (*call)(void*), void* data) {
  call(data);
  return right(stream) ? cudaSuccess : cudaErrorInvalidConfiguration;
}
inline cudaError_t cudaMemsetAsync(void* data, int value, size_t bytes, cudaStream_t stream) {
  memset(data, value, bytes);
  return right(stream) ? cudaSuccess : cudaErrorInvalidConfiguration;
}
inline cudaError_t cudaGetDeviceCount(int* count) { return *count = 1, cudaSuccess; }
inline const char* cudaGetErrorString(cudaError_t) { return "wrong grid or stream"; }
inline void atomicAdd(unsigned long long* sum, unsigned long long value) { *sum += value; }
