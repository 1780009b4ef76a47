#include "host.h"
#include "parallel.h"

namespace fastclip {

extern const Loops loops_x86_64, loops_x86_64_v3, loops_x86_64_v4;

namespace {

bool runs(const Loops& candidate) {
  if (&candidate == &loops_x86_64) return true;
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
                  __builtin_cpu_supports("fma");
  if (&candidate == &loops_x86_64_v3) return v3;
  return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl");
}

const Loops* const kBestFirst[] = {&loops_x86_64_v4, &loops_x86_64_v3, &loops_x86_64};

}  // namespace

std::vector<const Loops*> supported_loops() {
  std::vector<const Loops*> found;
  for (const Loops* candidate : kBestFirst)
    if (runs(*candidate)) found.push_back(candidate);
  return found;
}

void noise(const Loops& loops, Kind kind, const Level& level, uint64_t seed, uint32_t draw,
           const uint64_t* keys, int64_t pictures, int64_t size, const uint8_t* in, uint8_t* out,
           int threads) {
  constexpr int64_t kChunk = 1 << 15;  // a multiple of four, so that chunks start on a block
  const int64_t chunks = (size + kChunk - 1) / kChunk;
  parallel_for(pictures * chunks, threads, [&](int64_t item) {
    const int64_t picture = item / chunks, start = item % chunks * kChunk;
    const int64_t offset = picture * size + start;
    loops.noise(kind, level, seed, keys[picture], draw, static_cast<uint32_t>(start / 4),
                std::min(kChunk, size - start), in + offset, out + offset);
  });
}

}  // namespace fastclip
