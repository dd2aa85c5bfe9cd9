// attention: what a layer of a language model does for one batch of texts after the other. For each head, every
// position of a text looks at those before it:
//
//     weights = softmax(q k' / sqrt(depth)), of positions that are not later         result = weights v
//
// Everything that a batch needs comes from a slab, which is reset when the batch is done. The first batch makes it
// grow, the second gets one slab as large as the peak, and later ones ask for no memory. Matrix products are sums over
// broadcast operands here, so that no product is ever stored. The results are compared with those of NumPy for the same
// numbers.
//
//     attention [BATCHES]     3 when it is not given; those from the fourth on have nothing to be compared with
//
// Exit code: 0; 1 when a result is wrong, memory was asked for, or nothing can be printed; 2 for wrong arguments.
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory_resource>
#include <print>
#include <span>
#include <system_error>

#include "output.hpp"

import buffers;

namespace {

using namespace buffers;

constexpr std::size_t heads = 4, positions = 24, depth = 16;

// Numbers in [-2, 2) that look random and are the same everywhere.
tensor<float, 3> make_input(std::size_t batch, std::size_t which, std::pmr::memory_resource& memory) {
  auto numbers = empty<float>({heads, positions, depth}, &memory);
  std::size_t i = 0;
  for (float& number : numbers)
    number = 4 * (static_cast<float>((i++ * 7919 + batch * 104729 + which * 1299709) % 1000) / 1000.0f - 0.5f);
  return numbers;
}

tensor<float, 3> attend(const tensor<float, 3>& q, const tensor<float, 3>& k, const tensor<float, 3>& v,
                        std::pmr::memory_resource& memory) {
  // (heads, positions, 1, depth) * (heads, 1, positions, depth), summed over depth
  const float scale = 1 / std::sqrt(static_cast<float>(depth));
  tensor weights(
      sum(reshape(q, {heads, positions, 1, depth}) * reshape(k, {heads, 1, positions, depth}), axes<-1>) * scale,
      &memory);
  const tensor may_see(tril(ones<bool>({positions, positions}, &memory)), &memory);
  weights = where(may_see, weights, -std::numeric_limits<float>::infinity());
  weights = exp(weights - max(weights, axes<-1>, keepdims));
  weights /= sum(weights, axes<-1>, keepdims);
  return evaluate(
      sum(reshape(weights, {heads, positions, positions, 1}) * reshape(v, {heads, 1, positions, depth}), axes<2>),
      &memory);
}

// What numpy 1.24 gives in double precision.
struct known {
  double sum, sum_of_absolutes;
  std::array<double, 4> last;  // the first four of the last row of the last head
};
constexpr std::array<known, 3> from_numpy{{
    {7.2936178988, 1390.3201638200, {0.3020959363, -0.0211837077, -0.3440558507, -0.6657687962}},
    {38.1266198312, 1383.1985742969, {-0.7187882750, -1.0263291527, -1.3387088813, -1.4510942403}},
    {17.4543620183, 1375.9374420717, {-1.3083192794, 0.2570615314, 1.4853761041, 1.2204849584}},
}};

std::size_t requests(const meter_resource& heap) { return static_cast<std::size_t>(heap.stats().total.calls); }

bool is_near(double a, double b, double error) { return std::abs(a - b) <= error; }

bool is_right(const tensor<float, 3>& result, const known& expected) {
  bool right = is_near(static_cast<double>(sum(result)), expected.sum, 1e-3) &&
               is_near(static_cast<double>(sum(abs(result))), expected.sum_of_absolutes, 1e-3);
  for (std::size_t i = 0; i < expected.last.size(); ++i)
    right = right && is_near(static_cast<double>(result[-1, -1, i]), expected.last[i], 1e-5);
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t batches = 3;
  if (argc > 1) {
    const char* const end = argv[1] + std::strlen(argv[1]);
    if (argc > 2 || std::from_chars(argv[1], end, batches) != std::from_chars_result{end, std::errc{}}) {
      std::println(stderr, "usage: attention [BATCHES]");
      return 2;
    }
  }

  meter_resource heap;
  slab_resource scratch{{}, &heap};
  bool right = true;
  std::size_t requests_of_two = 0;
  for (std::size_t batch = 0; batch < batches; ++batch) {
    {
      const auto q = make_input(batch, 0, scratch), k = make_input(batch, 1, scratch),
                 v = make_input(batch, 2, scratch);
      const auto result = attend(q, k, v, scratch);
      const bool as_numpy = batch >= from_numpy.size() || is_right(result, from_numpy[batch]);
      right = right && as_numpy;
      std::println("batch {}: {:.4f} ... {}, {} bytes of scratch", batch, result[-1, -1, range{0, 3}],
                   batch >= from_numpy.size() ? ""
                   : as_numpy                 ? "as NumPy has it"
                                              : "NOT as NumPy has it",
                   scratch.used());
    }
    scratch.reset();
    if (batch == 1) requests_of_two = requests(heap);  // after a reset, there is one slab as large as the peak
  }
  const std::size_t later = batches > 1 ? requests(heap) - requests_of_two : 0;
  std::println("{} requests for memory, {} of them after the second batch", requests(heap), later);
  return end_of_output(right && later == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}
