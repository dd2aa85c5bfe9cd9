// contraction: tensors for a moment. Each of some hundred blocks is a tensor B[i,j,l] that is contracted with one
// matrix after the other,
//
//     A[i,j,k] = sum over l of B[i,j,l] * C[l,k],
//
// by OpenBLAS, on memory from two buffers that take turns: the factors of a step lie in one, the result in the other,
// where it is a factor of the next step. When a step is done, its factors are dropped. The results are compared with
// plain loops, and the time with that of a fresh std::vector for each tensor.
//
//     contraction [ROUNDS]     the time is the median of that many rounds, 15 when it is not given
//
// Exit code: 0; 1 when a result is wrong or cannot be printed; 2 for wrong arguments.
#include <cblas.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <mdspan>
#include <numeric>
#include <print>
#include <random>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "measure.hpp"
#include "output.hpp"

import buffers;

namespace {

using matrix = std::mdspan<double, std::dextents<std::size_t, 2>>;
using tensor = std::mdspan<double, std::dextents<std::size_t, 3>>;

template <class Extents>
std::span<double> elements(std::mdspan<double, Extents> view) {
  return {view.data_handle(), view.size()};
}

/// The shapes of a block: it begins as i x j x depths[0], and each further depth is a contraction.
struct block {
  std::size_t i, j;
  std::vector<std::size_t> depths;
};

std::vector<block> make_blocks(std::size_t count) {
  std::mt19937 random{2024};
  const auto from_to = [&](std::size_t first, std::size_t last) {
    return std::uniform_int_distribution<std::size_t>(first, last)(random);
  };
  std::vector<block> blocks;
  while (blocks.size() < count) {
    const std::size_t largest = blocks.size() % 4 == 0 ? 60 : 16;  // one of four is of medium size
    block next{from_to(1, largest / 4), from_to(1, largest / 4), {}};
    for (std::size_t depths = from_to(2, 5); depths > 0; --depths) next.depths.push_back(from_to(1, largest));
    blocks.push_back(std::move(next));
  }
  return blocks;
}

/// Where the factors come from: fills one tensor after the other with numbers between -1 and 1, the same for each
/// block.
class source {
 public:
  void fill(std::span<double> factor) {
    std::ranges::copy(std::span(numbers).subspan(next_, factor.size()), factor.begin());
    next_ += 7;
  }

 private:
  static inline const std::vector<double> numbers = [] {
    std::mt19937_64 random{7};
    std::vector<double> made(1 << 16);
    std::ranges::generate(made, [&] { return std::uniform_real_distribution(-1.0, 1.0)(random); });
    return made;
  }();
  std::size_t next_ = 0;
};

void contract(tensor a, tensor b, matrix c) {
  const auto size = [](std::size_t extent) { return static_cast<blasint>(extent); };
  const blasint rows = size(a.extent(0) * a.extent(1)), columns = size(a.extent(2)), inner = size(b.extent(2));
  cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, columns, inner, 1.0, b.data_handle(), inner,
              c.data_handle(), columns, 0.0, a.data_handle(), columns);
}

void contract_plainly(tensor a, tensor b, matrix c) {
  for (std::size_t i = 0; i < a.extent(0); ++i)
    for (std::size_t j = 0; j < a.extent(1); ++j)
      for (std::size_t k = 0; k < a.extent(2); ++k) {
        a[i, j, k] = 0;
        for (std::size_t l = 0; l < b.extent(2); ++l) a[i, j, k] += b[i, j, l] * c[l, k];
      }
}

/// All contractions of a block with two buffers that take turns. `use` sees the last result.
template <class Buffer>
void run(const block& shape, Buffer& one, Buffer& other, std::invocable<std::span<const double>> auto use) {
  constexpr buffers::alignment for_vectors{64};
  source input;
  Buffer* factors = &one;
  Buffer* results = &other;
  tensor b = buffers::alloc<double>(*factors, for_vectors, shape.i, shape.j, shape.depths.front());
  input.fill(elements(b));
  for (std::size_t step = 1; step < shape.depths.size(); ++step) {
    const matrix c = buffers::alloc<double>(*factors, for_vectors, shape.depths[step - 1], shape.depths[step]);
    input.fill(elements(c));
    const tensor a = buffers::alloc<double>(*results, for_vectors, shape.i, shape.j, shape.depths[step]);
    contract(a, b, c);
    buffers::drop(*factors, b, c);
    b = a;
    std::swap(factors, results);
  }
  use(elements(b));
  buffers::drop(*factors, b);
}

/// The same with a std::vector for each tensor, and the function that does a contraction.
void run_on_vectors(const block& shape, std::invocable<tensor, tensor, matrix> auto contract_with,
                    std::invocable<std::span<const double>> auto use) {
  source input;
  std::vector<double> b(shape.i * shape.j * shape.depths.front());
  input.fill(b);
  for (std::size_t step = 1; step < shape.depths.size(); ++step) {
    const std::size_t l = shape.depths[step - 1], k = shape.depths[step];
    std::vector<double> c(l * k);
    input.fill(c);
    std::vector<double> a(shape.i * shape.j * k);
    contract_with(tensor(a.data(), shape.i, shape.j, k), tensor(b.data(), shape.i, shape.j, l), matrix(c.data(), l, k));
    b = std::move(a);
  }
  use(b);
}

/// The larger of two; NaN, where there is one, so that it is not overlooked.
double larger(double x, double y) { return y > x || std::isnan(y) ? y : x; }

/// The greatest difference of two results, as a part of their greatest element.
double difference(std::span<const double> result, std::span<const double> expected) {
  const auto distance = [](double x, double y) { return std::abs(x - y); };
  const double most = std::transform_reduce(result.begin(), result.end(), expected.begin(), 0.0, larger, distance);
  return most /
         std::transform_reduce(expected.begin(), expected.end(), 1e-300, larger, [](double x) { return std::abs(x); });
}

int compare(int rounds) {
  openblas_set_num_threads(1);
  const std::vector<block> blocks = make_blocks(400);
  buffers::slab_resource one, other;

  double error = 0;
  for (const block& shape : blocks) {
    run(shape, one, other, [&](std::span<const double> result) {
      run_on_vectors(shape, contract_plainly,
                     [&](std::span<const double> expected) { error = larger(error, difference(result, expected)); });
    });
  }
  std::println("{} blocks, {} contractions", blocks.size(),
               std::transform_reduce(blocks.begin(), blocks.end(), std::size_t{0}, std::plus(),
                                     [](const block& shape) { return shape.depths.size() - 1; }));
  std::println("greatest error   {:.1e} of the greatest element", error);
  std::println("buffers          {} and {} bytes at their peaks, {} and {} in use now", one.peak(), other.peak(),
               one.used(), other.used());

  double sum_on_buffers = 0, sum_on_vectors = 0;
  const auto [buffer_time, vector_time] = median_times(
      rounds,
      [&] {
        for (const block& shape : blocks)
          run(shape, one, other, [&](auto result) { sum_on_buffers += result.front(); });
      },
      [&] {
        for (const block& shape : blocks)
          run_on_vectors(shape, contract, [&](auto result) { sum_on_vectors += result.front(); });
      });
  std::println("two buffers      {:.3f} ms", 1e3 * buffer_time);
  std::println("fresh vectors    {:.3f} ms, {:.2f} times as long (medians of {} rounds)", 1e3 * vector_time,
               vector_time / buffer_time, rounds);
  const bool right = error < 1e-12 && sum_on_buffers == sum_on_vectors && one.used() == 0 && other.used() == 0;
  if (!right) std::println(stderr, "contraction: the results differ, or a buffer is not empty");
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  int rounds = 15;
  if (argc > 1) {
    const std::string_view number = argv[1];
    const auto [end, error] = std::from_chars(number.begin(), number.end(), rounds);
    if (argc > 2 || error != std::errc() || end != number.end() || rounds < 1) {
      std::println(stderr, "contraction: usage: contraction [ROUNDS]");
      return 2;
    }
  }
  try {
    return end_of_output(compare(rounds));
  } catch (const std::exception& error) {
    std::println(stderr, "contraction: {}", error.what());
    return 1;
  }
}
