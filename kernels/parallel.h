// Work over several threads: items are independent, so their number never changes a byte.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace fastclip {

// Calls work(item) for each item in [0, items). `threads` 0 means all cores.
template <class Work>
void parallel_for(int64_t items, int threads, const Work& work) {
  if (threads <= 0) threads = std::max(1u, std::thread::hardware_concurrency());
  threads = static_cast<int>(std::min<int64_t>(threads, items));
  std::atomic<int64_t> next{0};
  auto worker = [&] {
    for (int64_t item = next++; item < items; item = next++) work(item);
  };
  std::vector<std::thread> helpers;
  for (int i = 1; i < threads; ++i) helpers.emplace_back(worker);
  worker();
  for (auto& helper : helpers) helper.join();
}

}  // namespace fastclip
