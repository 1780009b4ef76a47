// Every kernel of kernels/cuda.cu on the emulated runtime against its host twin, over random
// shapes: prints the kernel and shape at the first difference. Built with -fsanitize=address, so
// that an index beyond a buffer is caught too.
#include <cstdio>
#include <random>

#include "cuda.cu"
#include "loops.cpp"

using namespace fastclip;
namespace fastclip {
extern const Loops loops_x86_64_v3, loops_x86_64_v4;  // never chosen
const Loops loops_x86_64_v3 = loops_x86_64, loops_x86_64_v4 = loops_x86_64;
}  // namespace fastclip

std::mt19937 engine(1);
int any(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine); }

template <class T>
std::vector<T> random_values(size_t count, uint64_t most) {
  std::vector<T> values(count);
  for (T& value : values)
    value = static_cast<T>(std::uniform_int_distribution<uint64_t>(0, most)(engine));
  return values;
}

int trial(const std::vector<uint32_t>& table) {
  const int n = any(1, 5), h = any(1, 40), w = any(1, 40), k = any(1, 5);
  const int64_t size = 3ll * h * w;
  const auto in = random_values<uint8_t>(n * size, 255);
  std::vector<uint8_t> host(n * size), device(n * size, 99);
  const auto differ = [&](const char* name) {
    if (host == device) return 0;
    return printf("%s differs: %d x %d x %d\n", name, n, h, w), 1;
  };
  expected_stream = &engine;  // must reach every call

  const auto keys = random_values<uint64_t>(n, ~0ull);
  const Kind kind = static_cast<Kind>(k);
  const Level level{kind == Kind::speckle ? 0.3f : 40.0f, 1u << 29, table.data()};
  noise(loops_x86_64, kind, level, 7, 3, keys.data(), n, size, in.data(), host.data(), 1);
  cuda::noise(kind, level, 7, 3, keys.data(), n, size, in.data(), device.data(), expected_stream);
  int wrong = differ("noise");

  const Colour colour = static_cast<Colour>(k % 3);
  recolour(loops_x86_64, colour, 1.7f, 0.1f * k, n, h * w, in.data(), host.data(), 1);
  cuda::recolour(colour, 1.7f, 0.1f * k, n, h * w, in.data(), device.data(), expected_stream);
  wrong += differ("recolour");

  std::vector<float> weights(2 * any(0, 30) + 1);
  for (float& weight : weights) weight = any(0, 1000) * 1e-3f / static_cast<float>(weights.size());
  const int radius = static_cast<int>(weights.size() / 2);
  blur(loops_x86_64, weights.data(), radius, n, h, w, in.data(), host.data(), 1);
  cuda::blur(weights.data(), radius, n, h, w, in.data(), device.data(), expected_stream);
  wrong += differ("blur");

  const int height = any(1, 50), width = any(1, 50);
  host.assign(3ll * n * height * width, 1), device.assign(host.size(), 2);
  const Resize job{in.data(), h, w, any(1, 60), any(1, 60), any(-30, 30), any(-30, 30)};
  std::vector<Resize> jobs(n, job);
  for (int i = 0; i < n; ++i) jobs[i].in += i * size;
  const Filter filter = static_cast<Filter>(k % 3);
  resize(loops_x86_64, jobs.data(), n, host.data(), height, width, filter, 77, 1);
  cuda::resize(job, n, device.data(), height, width, filter, 77, expected_stream);
  return wrong + differ("resize");
}

int main() {
  auto table = random_values<uint32_t>(256 * kShotThresholds, 0x7FFFFFFF);
  for (int row = 0; row < 256; ++row)
    std::sort(table.begin() + row * kShotThresholds, table.begin() + (row + 1) * kShotThresholds);
  int wrong = 0;
  for (int i = 0; i < 150 && !wrong; ++i) wrong = trial(table);
  return wrong;
}
