// The kernels on a CUDA device; present only in a build with nvcc.
#pragma once

#include <string>

#include "host.h"

namespace fastclip::cuda {

// Number of devices, and why none where there is none ("no CUDA-capable device is detected").
int devices(std::string& reason);

// As fastclip::noise, on device memory of the current device; waits until it is done.
// `level.table` too is device memory. Throws std::runtime_error with CUDA's words.
void noise(Kind kind, const Level& level, uint64_t seed, uint32_t draw, const uint64_t* keys,
           int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out);

// Resizes pictures of one common size, [count][job.height][job.width][3] at `job.in` on the
// device, into out [count][height][width][3] on the device; waits until it is done.
void resize(const Resize& job, int64_t count, uint8_t* out, int height, int width, Filter filter,
            uint8_t fill);

}  // namespace fastclip::cuda
