#include <algorithm>
#include <cmath>
#include <cstdint>

#include "compare.h"
import buffers;

namespace numpy {
namespace {

// What the order of additions may make of a sum of these.
double tolerance_of(const array<double>& a) {
  double all = 0;
  for (const double each : a.values) all += std::isfinite(each) ? std::abs(each) : 0;
  return 1e-15 * all;
}

// f(axes) for the axes that the word says.
template <std::size_t Rank, class F>
bool with_axes(const std::string& axes, const F& f) {
  if (axes == "0") return f(buffers::axes<0>);
  if constexpr (Rank > 1) {
    if (axes == "1") return f(buffers::axes<1>);
    if (axes == "01") return f(buffers::axes<0, 1>);
  }
  if constexpr (Rank > 2) {
    if (axes == "2") return f(buffers::axes<-1>);
    if (axes == "02") return f(buffers::axes<-1, 0>);
    if (axes == "12") return f(buffers::axes<1, 2>);
  }
  return false;
}

template <class... Keep>
bool reduce_with(words& line, Keep... keep) {
  const std::string name = word(line), axes = word(line);
  const array<double> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    const array<double> wanted(line);
    const auto near = [off = tolerance_of(a)](double) { return off; };
    return with_axes<rank>(axes, [&](auto over) {
      return name == "sum"    ? is(sum(t, over, keep...), wanted, near)
             : name == "mean" ? is(mean(t, over, keep...), wanted, near)
             : name == "max"  ? is(max(t, over, keep...), wanted)
                              : is(min(t, over, keep...), wanted);
    });
  });
}

}  // namespace

bool all_elements(words& line) {
  const std::string name = word(line);
  const array<double> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    const double wanted = array<double>(line).values.at(0);
    return name == "sum"    ? is_near(sum(t), wanted, tolerance_of(a))
           : name == "mean" ? is_near(mean(t), wanted, tolerance_of(a))
           : name == "max"  ? is_near(max(t), wanted, 0)
                            : is_near(min(t), wanted, 0);
  });
}

bool reduce(words& line) { return reduce_with(line); }
bool keep(words& line) { return reduce_with(line, buffers::keepdims); }

bool place(words& line) {
  const std::string name = word(line), axes = word(line);
  const array<double> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    return with_axes<rank>(axes, [&, wanted = array<std::size_t>(line)](auto over) {
      return name == "argmax" ? is(argmax(t, over), wanted) : is(argmin(t, over), wanted);
    });
  });
}

bool count(words& line) {
  const std::string axes = word(line);
  const array<double> a(line);
  return with_rank<1, 3>(a.shape.size(), [&](auto rank) {
    const auto t = a.as<rank>();
    return with_axes<rank>(axes,
                           [&, wanted = array<std::size_t>(line)](auto over) { return is(sum(t > 0, over), wanted); });
  });
}

}  // namespace numpy
