#include "resize.h"

#include <cmath>

#include "host.h"
#include "parallel.h"

namespace fastclip {
namespace {

double support_of(Filter filter) {
  return filter == Filter::bicubic ? 2.0 : (filter == Filter::bilinear ? 1.0 : 0.5);
}

double weight_of(Filter filter, double x) {
  if (filter == Filter::box) return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
  x = std::fabs(x);
  if (filter == Filter::bilinear) return x < 1.0 ? 1.0 - x : 0.0;
  constexpr double a = -0.5;
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

int32_t to_fixed(double weight) {
  const double scaled = weight * (1 << kPrecisionBits);
  return static_cast<int32_t>(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
}

void resize_one(const Loops& loops, const Resize& job, uint8_t* out, int height, int width,
                Filter filter, uint8_t fill) {
  const Span rows = overlap(job.top, height, job.resized_height);
  const Span columns = overlap(job.left, width, job.resized_width);
  if (rows.count < height || columns.count < width)
    std::fill_n(out, static_cast<int64_t>(height) * width * 3, fill);
  if (rows.count == 0 || columns.count == 0) return;

  const Axis x = make_axis(job.width, job.resized_width, columns.first, columns.count, filter);
  const Axis y = make_axis(job.height, job.resized_height, rows.first, rows.count, filter);
  const int bytes = columns.count * 3;
  const int first = y.starts.front(), last = y.starts.back() + y.taps;
  std::vector<uint8_t> between(static_cast<size_t>(last - first) * bytes);
  for (int row = first; row < last; ++row)
    loops.horizontal(job.in + static_cast<int64_t>(row) * job.width * 3, job.width,
                     between.data() + static_cast<int64_t>(row - first) * bytes, columns.count,
                     x.taps, x.starts.data(), x.weights.data());
  std::vector<int32_t> sums(bytes);
  for (int row = 0; row < rows.count; ++row)
    loops.vertical(between.data() + static_cast<int64_t>(y.starts[row] - first) * bytes, bytes,
                   out + (static_cast<int64_t>(rows.begin + row) * width + columns.begin) * 3,
                   bytes, y.taps, y.weights.data() + static_cast<int64_t>(row) * y.taps,
                   sums.data());
}

}  // namespace

Span overlap(int window_start, int window, int resized) {
  const int begin = std::max(0, -window_start);
  const int end = std::min(window, resized - window_start);
  return {begin, std::max(0, end - begin), window_start + begin};
}

Axis make_axis(int in, int out, int first, int count, Filter filter) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = support_of(filter) * stretch;
  const auto begin = [&](double centre) {
    return std::max(0, static_cast<int>(centre - support + 0.5));
  };
  const auto end = [&](double centre) {
    return std::min(in, static_cast<int>(centre + support + 0.5));
  };
  Axis axis;
  for (int i = 0; i < count; ++i) {
    const double centre = (first + i + 0.5) * scale;
    axis.taps = std::max(axis.taps, end(centre) - begin(centre));
  }
  axis.weights.assign(static_cast<size_t>(count) * axis.taps, 0);
  std::vector<double> exact(axis.taps);
  for (int i = 0; i < count; ++i) {
    const double centre = (first + i + 0.5) * scale;
    const int start = begin(centre), taps = end(centre) - start;
    double sum = 0.0;
    for (int k = 0; k < taps; ++k) {
      exact[k] = weight_of(filter, (k + start - centre + 0.5) * (1.0 / stretch));
      sum += exact[k];
    }
    const int moved = std::min(start, in - axis.taps);  // all `taps` inputs must exist
    int32_t* weights = axis.weights.data() + static_cast<size_t>(i) * axis.taps + start - moved;
    for (int k = 0; k < taps; ++k) weights[k] = to_fixed(sum != 0.0 ? exact[k] / sum : exact[k]);
    axis.starts.push_back(moved);
  }
  return axis;
}

void resize(const Loops& loops, const Resize* pictures, int64_t count, uint8_t* out, int height,
            int width, Filter filter, uint8_t fill, int threads) {
  const int64_t size = static_cast<int64_t>(height) * width * 3;
  parallel_for(count, threads, [&](int64_t i) {
    resize_one(loops, pictures[i], out + i * size, height, width, filter, fill);
  });
}

}  // namespace fastclip
