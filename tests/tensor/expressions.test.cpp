// Arithmetic, comparisons and functions; what evaluation allocates.
#include <algorithm>
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <numeric>
#include <random>
#include <stdexcept>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/child.hpp"
#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
const float nan_f = std::numeric_limits<float>::quiet_NaN();
constexpr int int_min = std::numeric_limits<int>::min();
constexpr int int_max = std::numeric_limits<int>::max();

template <class E>
using element_of = typename std::remove_cvref_t<E>::value_type;

template <class X, class F>
concept transforms = requires(const X& x, F f) { transform(x, f); };

}  // namespace

BOOST_AUTO_TEST_SUITE(expressions)

BOOST_AUTO_TEST_CASE(arithmetic) {
  const tensor a{{1.0f, 2.0f}, {3.0f, 4.0f}};
  const tensor b{{5.0f, 6.0f}, {7.0f, 8.0f}};
  BOOST_TEST(same(a + b, tensor{{6.0f, 8.0f}, {10.0f, 12.0f}}));
  BOOST_TEST(same(a - b, full<float>({2, 2}, -4)));
  BOOST_TEST(same(a * b, tensor{{5.0f, 12.0f}, {21.0f, 32.0f}}));
  BOOST_TEST(same(b / a, tensor{{5.0f, 3.0f}, {7.0f / 3.0f, 2.0f}}));
  BOOST_TEST(same(-a, tensor{{-1.0f, -2.0f}, {-3.0f, -4.0f}}));
  BOOST_TEST(same(1.0f - a, tensor{{0.0f, -1.0f}, {-2.0f, -3.0f}}));
  BOOST_TEST(same(12.0f / a, tensor{{12.0f, 6.0f}, {4.0f, 3.0f}}));
  BOOST_TEST(same(sqrt(a * a), a));
  BOOST_TEST(same(abs(-a), a));
  BOOST_TEST(same(pow(a, 2), a * a));
  BOOST_TEST(same(pow(a, 0.5f), sqrt(a)));
  BOOST_TEST(same(pow(2.0f, a), tensor{{2.0f, 4.0f}, {8.0f, 16.0f}}));
  BOOST_TEST(same(maximum(a, 2.5f), tensor{{2.5f, 2.5f}, {3.0f, 4.0f}}));
  BOOST_TEST(same(minimum(2.5f, a), tensor{{1.0f, 2.0f}, {2.5f, 2.5f}}));
  BOOST_TEST(same(where(a > 2.0f, a, -b), tensor{{-5.0f, -6.0f}, {3.0f, 4.0f}}));
  BOOST_TEST(((a + b)[1, -1]) == 12.0f);
  BOOST_TEST((a + b).at(0, 1) == 8.0f);
  BOOST_CHECK_THROW(((void)((a + b).at(0, 2))), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(compound_assignments) {
  tensor t{1.0f, 2.0f, 3.0f};
  t += 1;
  t -= tensor{1.0f, 1.0f, 1.0f};
  t *= t;
  t /= 2.0f;
  BOOST_TEST(same(t, tensor{0.5f, 2.0f, 4.5f}));
  BOOST_CHECK_THROW(((void)(t += ones<float>({4}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(t[range{0, 2}] += t)), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(conversions_are_those_of_cpp) {
  const tensor<std::int8_t, 1> i8{100, -100};
  const tensor<std::uint16_t, 1> u16{65535, 1};
  const tensor<int, 1> i32{1, 2};
  const tensor<unsigned, 1> u32{1, 2};
  const tensor<std::int64_t, 1> i64{1, 2};
  const tensor<float, 1> f32{1, 2};
  const tensor<double, 1> f64{1, 2};
  const tensor<bool, 1> b{true, false};
  static_assert(std::is_same_v<element_of<decltype(i8 + i8)>, int>);
  static_assert(std::is_same_v<element_of<decltype(b + b)>, int>);
  static_assert(std::is_same_v<element_of<decltype(-b)>, int>);
  static_assert(std::is_same_v<element_of<decltype(i32 + u32)>, unsigned>);
  static_assert(std::is_same_v<element_of<decltype(i64 * i32)>, std::int64_t>);
  static_assert(std::is_same_v<element_of<decltype(i64 + f32)>, float>);
  static_assert(std::is_same_v<element_of<decltype(f32 * 2.0)>, double>);
  static_assert(std::is_same_v<element_of<decltype(f32 + f64)>, double>);
  static_assert(std::is_same_v<element_of<decltype(i32 < f32)>, bool>);
  static_assert(std::is_same_v<element_of<decltype(exp(i32))>, double>);
  static_assert(std::is_same_v<element_of<decltype(sqrt(f32))>, float>);
  static_assert(std::is_same_v<element_of<decltype(true_divide(i32, i32))>, double>);
  static_assert(std::is_same_v<element_of<decltype(true_divide(f32, i32))>, float>);
  static_assert(std::is_same_v<element_of<decltype(pow(i32, 2))>, int>);
  static_assert(std::is_same_v<element_of<decltype(abs(i8))>, std::int8_t>);
  BOOST_TEST(same(i8 + i8, tensor{200, -200}));
  BOOST_TEST(same(u16 * u16, tensor{static_cast<int>(65535u * 65535u), 1}));
  BOOST_TEST(same(b + b, tensor{2, 0}));
  BOOST_TEST(same(true_divide(i32, 4), tensor{0.25, 0.5}));
  BOOST_TEST(same(i32 / 2, tensor{0, 1}));
  tensor<int, 1> narrowed = f64 * 1.9;
  BOOST_TEST(same(narrowed, tensor{1, 3}));
  tensor<bool, 1> truth = i32 - 1;
  BOOST_TEST(same(truth, tensor{false, true}));
  BOOST_TEST(same(cast<float>(i32) / 2.0f, tensor{0.5f, 1.0f}));
}

BOOST_AUTO_TEST_CASE(comparisons_and_logic) {
  const tensor a{1, 2, 3};
  const tensor b{3, 2, 1};
  BOOST_TEST(same(a < b, tensor{true, false, false}));
  BOOST_TEST(same(a <= b, tensor{true, true, false}));
  BOOST_TEST(same(a > b, tensor{false, false, true}));
  BOOST_TEST(same(a >= b, tensor{false, true, true}));
  BOOST_TEST(same(a == b, tensor{false, true, false}));
  BOOST_TEST(same(a != b, tensor{true, false, true}));
  BOOST_TEST(same(2 < a, tensor{false, false, true}));
  BOOST_TEST(same(a > 1 && a < 3, tensor{false, true, false}));
  BOOST_TEST(same(a < 2 || !(a < 3), tensor{true, false, true}));
  BOOST_TEST(all(a + b == 4));
  BOOST_TEST(any(a == 3));
  BOOST_TEST(!any(a == 4));
  BOOST_TEST(!all(a == 3));
  const tensor f{nan_f, 1.0f};
  BOOST_TEST(same(f == f, tensor{false, true}));
  BOOST_TEST(same(f != f, tensor{true, false}));
}

BOOST_AUTO_TEST_CASE(broadcasting) {
  const tensor row{1, 2, 3};
  const tensor column{{10}, {20}};
  BOOST_TEST(same(row + column, tensor{{11, 12, 13}, {21, 22, 23}}));
  BOOST_TEST(same(column * row, tensor{{10, 20, 30}, {20, 40, 60}}));
  BOOST_TEST(same(row + tensor<int, 0>(5), tensor{6, 7, 8}));
  BOOST_TEST((zeros<int>({3, 1, 4}) + zeros<int>({2, 1})).shape()[1] == 2u);
  BOOST_TEST(same(zeros<int>({0, 3}) + zeros<int>({1, 1}), zeros<int>({0, 3})));
  BOOST_CHECK_THROW(((void)(row + tensor{1, 2})), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(zeros<int>({2, 3}) + zeros<int>({3, 2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(zeros<int>({0}) + zeros<int>({3}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)where(row > 1, tensor{1, 2}, 0)), std::invalid_argument);
  const tensor one{{1}};
  constexpr std::size_t many = std::size_t{1} << 33;
  BOOST_CHECK_THROW(((void)(expand(one, {1, many}) + expand(one, {many, 1}))), std::bad_array_new_length);
  // long and short rows of every kind: neighbours, repeated, strided, reversed
  for (const std::size_t n : {1u, 2u, 511u, 512u, 513u, 1500u}) {
    const auto x = reshape(arange<double>(static_cast<double>(3 * n)), {3, n});
    const auto y = tensor{{1.0}, {2.0}, {3.0}};
    const auto z = arange<float>(static_cast<float>(2 * n));
    tensor result(x[all, range{all, all, -1}] * y + z[range{all, all, 2}]);
    for (std::size_t i = 0; i < 3; ++i)
      for (std::size_t j = 0; j < n; ++j) {
        const double expected =
            static_cast<double>(i * n + n - 1 - j) * static_cast<double>(i + 1) + static_cast<double>(2 * j);
        if (result[i, j] != expected) BOOST_ERROR(n << ": " << i << ", " << j);
      }
    auto target = zeros<double>({n, 3});
    transpose(target) = exp(x * 0.0) + y;
    BOOST_TEST((target[n - 1, 2]) == 4.0);
    BOOST_TEST(sum(target) == 9.0 * static_cast<double>(n));
  }
}

template <class T>
void repeat_and_gather_elements() {
  for (std::size_t n = 1; n < 200; ++n) {
    const tensor<T, 2> column{{3}, {5}};
    tensor<T, 2> twice({2, 2 * n}), result({2, n});
    for (std::size_t i = 0; i < 2 * n; ++i) twice[0, i] = static_cast<T>(i % 50), twice[1, i] = static_cast<T>(i % 7);
    result = twice[all, range{all, all, 2}] + column;
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < n; ++i)
      wrong += (result[0, i] != static_cast<T>(2 * i % 50 + 3)) + (result[1, i] != static_cast<T>(2 * i % 7 + 5));
    BOOST_TEST(wrong == 0u, n << " elements of " << sizeof(T) << " bytes: " << wrong << " are wrong");
  }
}
// Views with their dimensions in any order in memory, with gaps, backwards and repeated, as those of a loop over
// indices.
template <std::size_t Rank>
void compute_with_random_views(std::mt19937& random) {
  const auto pick = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  std::array<std::size_t, Rank> shape;
  for (std::size_t& extent : shape) extent = pick(0, 9) == 0 ? 0 : static_cast<std::size_t>(pick(1, 9));
  std::vector<std::vector<int>> memory;
  const auto view = [&](bool may_repeat) {
    std::array<std::size_t, Rank> order, extents = shape;
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (pick(0, 1) == 0) std::ranges::shuffle(order, random);
    std::array<std::ptrdiff_t, Rank> strides;
    std::ptrdiff_t size = 1, first = 0;
    for (std::size_t i = Rank; i-- > 0;) {
      const std::size_t d = order[i];
      if (may_repeat && pick(0, 4) == 0) extents[d] = 1;
      size *= i + 1 == Rank && pick(0, 2) > 0 ? 1 : pick(1, 2);
      strides[d] = size;
      const auto way = static_cast<std::ptrdiff_t>(std::max<std::size_t>(extents[d], 1) - 1) * size;
      if (pick(0, 5) == 0) {
        strides[d] = -size;
        first += way;
      }
      size += way + pick(0, 1);
    }
    std::vector<int>& all_of_it = memory.emplace_back(static_cast<std::size_t>(size));
    for (int& each : all_of_it) each = pick(-1000, 1000);
    return tensor_view<int, Rank>(all_of_it.data() + first, extents, strides);
  };
  memory.reserve(3);
  const auto to = view(false), a = view(true), b = view(true);

  std::vector<int> expected = memory[0];
  std::array<std::size_t, Rank> index{};
  int total = 0, largest = std::numeric_limits<int>::min();
  for (std::size_t left = to.numel(); left > 0; --left) {
    std::ptrdiff_t to_at = to.data() - memory[0].data(), a_at = 0, b_at = 0;
    for (std::size_t d = 0; d < Rank; ++d) {
      const auto i = static_cast<std::ptrdiff_t>(index[d]);
      to_at += i * to.strides()[d];
      a_at += a.shape()[d] == 1 ? 0 : i * a.strides()[d];
      b_at += b.shape()[d] == 1 ? 0 : i * b.strides()[d];
    }
    const int result = a.data()[a_at] * 3 - b.data()[b_at];
    expected[static_cast<std::size_t>(to_at)] = result;
    total += result;
    largest = std::max(largest, result);
    for (std::size_t d = Rank; d-- > 0; index[d] = 0)
      if (++index[d] < shape[d]) break;
  }
  to = a * 3 - b;
  BOOST_TEST((memory[0] == expected));
  BOOST_TEST(sum(to) == total);
  if (to.numel() == 0 || a.numel() == 0 || b.numel() == 0) return;
  BOOST_TEST(max(to) == largest);
  if (a.numel() != to.numel() && b.numel() != to.numel()) return;  // the expression is smaller
  BOOST_TEST(sum(a * 3 - b) == total);
  BOOST_TEST(max(a * 3 - b) == largest);
}
BOOST_AUTO_TEST_CASE(random_views_against_a_loop_over_indices) {
  std::mt19937 random{11};
  for (int round = 0; round < 500; ++round) BOOST_TEST_CONTEXT("round " << round) {
      compute_with_random_views<1>(random);
      compute_with_random_views<2>(random);
      compute_with_random_views<3>(random);
      compute_with_random_views<4>(random);
    }
}

BOOST_AUTO_TEST_CASE(elements_of_every_size_are_repeated_and_gathered) {
  repeat_and_gather_elements<std::int8_t>();
  repeat_and_gather_elements<std::int16_t>();
  repeat_and_gather_elements<float>();
  repeat_and_gather_elements<double>();
  repeat_and_gather_elements<long double>();
}

// Whatever the step, alone and in an expression.
template <class T>
void gather_every_step() {
  std::size_t wrong = 0;
  for (std::size_t n = 1; n < 80; ++n)
    for (std::ptrdiff_t step = -5; step <= 5; ++step) {
      if (step == 0) continue;
      const std::size_t wide = (n - 1) * static_cast<std::size_t>(std::abs(step)) + 1;
      tensor<T, 2> from({2, wide}), to({2, n}), more({2, n});
      for (std::size_t i = 0; i < wide; ++i) from[0, i] = static_cast<T>(i % 101), from[1, i] = static_cast<T>(i % 97);
      const auto seen = from[all, range{step > 0 ? 0 : -1, all, step}];
      to = seen;
      more = seen + seen;
      for (std::size_t i = 0; i < n; ++i) {
        const std::size_t at =
            step > 0 ? i * static_cast<std::size_t>(step) : wide - 1 - i * static_cast<std::size_t>(-step);
        wrong += (to[0, i] != static_cast<T>(at % 101)) + (to[1, i] != static_cast<T>(at % 97));
        wrong += more[1, i] != static_cast<T>(2 * (at % 97));
      }
    }
  BOOST_TEST(wrong == 0u, wrong << " elements of " << sizeof(T) << " bytes");
}
BOOST_AUTO_TEST_CASE(steps_of_every_size_and_way) {
  gather_every_step<std::int8_t>();
  gather_every_step<std::int16_t>();
  gather_every_step<float>();
  gather_every_step<double>();
  gather_every_step<long double>();
}

// Rows with gaps between them, however short, alone or with what is gathered, into a target without gaps.
BOOST_AUTO_TEST_CASE(rows_of_a_wider_array) {
  for (std::size_t columns = 1; columns < 70; ++columns) {
    const std::size_t rows = 300;
    tensor<float, 2> wide({rows, columns + 3});
    for (float& each : wide) each = static_cast<float>((&each - wide.data()) % 89) / 32.0f;
    const auto part = wide[all, range{2, columns + 2}];
    const tensor<float, 2> powers(exp(part)), more(exp(part + 1.0f)), plain = part, turned(part[range{all, all, -1}]);
    const tensor<float, 2> products(part * log(part + 2.0f) + part[all, range{all, all, -1}]);
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) {
        const float x = wide[r, c + 2];
        wrong += plain[r, c] != x;
        wrong += turned[r, c] != (wide[rows - 1 - r, c + 2]);
        wrong += powers[r, c] != (exp(part)[r, c]);
        wrong += more[r, c] != (exp(part + 1.0f)[r, c]);
        wrong += products[r, c] != (x * log(part + 2.0f)[r, c] + wide[r, columns + 1 - c]);
      }
    BOOST_TEST(wrong == 0u, columns << " columns: " << wrong << " elements are wrong");
  }
}

// x + x + ... + x, so many times.
template <std::size_t Times, class X>
auto times(const X& x) {
  if constexpr (Times == 1)
    return x.node();
  else
    return times<Times / 2>(x) + times<Times - Times / 2>(x);
}
// The memory for what is gathered is shared by all operands.
template <class T>
void add_many_operands() {
  const std::size_t rows = 3, columns = 700;
  tensor<T, 2> wide({rows, 2 * columns});
  for (T& each : wide) each = static_cast<T>((&each - wide.data()) % 61);
  const auto part = wide[all, range{all, all, 2}];
  const tensor<T, 2> result = times<100>(part);
  const tensor<T, 1> sums = sum(times<100>(part), axes<1>), all_rows = sum(times<100>(part), axes<0>);
  std::size_t wrong = 0;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) wrong += result[r, c] != 100 * wide[r, 2 * c];
  BOOST_TEST(wrong == 0u, "of elements of " << sizeof(T) << " bytes, " << wrong << " are wrong");
  BOOST_TEST(same(sums, sum(result, axes<1>)));
  BOOST_TEST(same(all_rows, sum(result, axes<0>)));
  BOOST_TEST(sum(times<100>(part)) == sum(result));

  tensor<T, 3> deep({4, 3, 200});
  for (T& each : deep) each = static_cast<T>((&each - deep.data()) % 61);
  const auto slices = deep[all, all, range{all, all, 2}];
  BOOST_TEST(sum(times<100>(slices)) == 100 * sum(slices));
  BOOST_TEST(same(sum(times<100>(slices), axes<0, 2>), 100 * sum(slices, axes<0, 2>)));
  const auto repeated = deep[all, all, range{0, 1}];
  BOOST_TEST(sum(times<50>(repeated) + times<50>(slices)) == 50 * sum(slices) + 50 * 100 * sum(repeated));
}
// Functions with loops of their own, one straight on the other.
template <class X>
void check_functions_of_functions(const X& x, const tensor<float, 2>& values) {
  const auto check = [&](auto compute) {
    const auto computed = [&] { return compute(x()); };
    const std::size_t rows = values.shape()[0], columns = values.shape()[1];
    tensor<float, 2> wanted(values.shape()), wide({rows, 2 * columns}), target = values;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) wanted[r, c] = computed()[r, c];
    BOOST_TEST(same(evaluate(computed()), wanted));
    BOOST_TEST(same(evaluate(parallel, computed()), wanted));
    auto every_other = wide[all, range{0, 2 * columns, 2}];
    every_other = computed();
    BOOST_TEST(same(every_other, wanted));
    target = compute(target * 1.0f);
    BOOST_TEST(same(target, evaluate(compute(values * 1.0f))));
    target = values;
    target = compute(target);
    BOOST_TEST(same(target, evaluate(compute(values))));
    BOOST_TEST(sum(computed()) == sum(wanted), boost::test_tools::tolerance(1e-6f));
    BOOST_TEST(same(evaluate(max(computed(), axes<0>)), evaluate(max(wanted, axes<0>))));
    BOOST_TEST(same(evaluate(sum(computed(), axes<1>)), evaluate(sum(wanted, axes<1>))));
  };
  check([]<class E>(E&& e) { return exp(exp(std::forward<E>(e))); });
  check([]<class E>(E&& e) { return exp(log(std::forward<E>(e))); });
  check([]<class E>(E&& e) { return log(exp(std::forward<E>(e))); });
  check([]<class E>(E&& e) { return log(log(std::forward<E>(e))); });
  check([]<class E>(E&& e) { return log(exp(log(std::forward<E>(e)))); });
  check([]<class E>(E&& e) { return log(sqrt(exp(log(std::forward<E>(e))) + 2.0f)); });
}
BOOST_AUTO_TEST_CASE(functions_of_functions) {
  for (const std::size_t columns : {1uz, 8uz, 37uz, 700uz}) {
    tensor<float, 2> a({3, columns});
    for (float& each : a) each = 1.5f + static_cast<float>((&each - a.data()) % 7) / 8.0f;
    check_functions_of_functions([&] { return a.node(); }, a);
    check_functions_of_functions([&] { return a * 1.25f; }, a);
    check_functions_of_functions([&] { return a.copy() + a; }, a);
    check_functions_of_functions([&] { return a - min(a, axes<1>, keepdims) + 1.5f; }, a);
  }
}

// One thread calls it once for each element, and what it changes outside is what a loop would have changed.
BOOST_AUTO_TEST_CASE(functions_of_ones_own_that_remember) {
  const tensor x = arange<int>(0, 1000);
  int calls = 0;
  const tensor y(transform(x, [&](int v) { return ++calls, v; }) + 1);
  BOOST_TEST(calls == 1000);
  BOOST_TEST(same(y, x + 1));
  long histogram[4] = {};
  const tensor ones(transform(x, [&](int v) { return ++histogram[v & 3], 1.0f; }));
  BOOST_TEST((histogram[0] == 250 && histogram[1] == 250 && histogram[2] == 250 && histogram[3] == 250));
  int sum_so_far = 0;
  const tensor sums(transform(x, [&](int v) { return sum_so_far += v; }));
  BOOST_TEST(sums[-1] == 499'500);
  calls = 0;
  BOOST_TEST(sum(transform(x, [&](int v) { return ++calls, v; })) == 499'500);
  BOOST_TEST(calls == 1000);

  // A divisor that changes its mind is looked at when it is used.
  const auto check_divisor = [&]<class T>(T) {
    const tensor<T, 1> a({8, 6, 4, 2}), b({1, 2, 3, 4});
    int asked = 0;
    tensor<T, 1> quotients({0, 0, 0, 0});
    quotients = a / transform(b, [&](T v) { return ++asked, v; });
    BOOST_TEST(asked == 4);
    BOOST_TEST(same(quotients, tensor<T, 1>({8, 3, 1, 0})));
    asked = 0;
    BOOST_CHECK_THROW((void)evaluate(a / transform(b, [&](T) { return T(++asked < 3); })), std::domain_error);
  };
  check_divisor(int{});
  check_divisor(std::int64_t{});
  check_divisor(std::uint8_t{});
}

// A division by what such a function gives fails when others have been computed: not in the target.
BOOST_AUTO_TEST_CASE(a_late_division_by_zero_leaves_the_target) {
  using namespace buffers;
  const tensor m = arange<int>(12);
  const tensor before = full<int>({12}, 7);
  const auto shifted = [](int x) { return x - 6; };
  const auto fails = [&](auto assignment) {
    tensor z = before.copy();
    BOOST_CHECK_THROW(assignment(z), std::domain_error);
    BOOST_TEST(same(z, before));
  };
  fails([&](auto& z) { z = 100 / transform(m, shifted); });
  fails([&](auto& z) { z[all] = 100 / transform(m, shifted); });
  fails([&](auto& z) { z /= transform(m, shifted); });
  fails([&](auto& z) { z += 100 / transform(m, shifted); });
  fails([&](auto& z) { z = where(m != 6, 100 / transform(m, shifted), 1); });
  fails([&](auto& z) { z = pow(transform(m, shifted), -1); });
  fails([&](auto& z) { assign(parallel, z, 100 / transform(m, shifted)); });
  fails([&](auto& z) { z = concatenate<0>(m[range{0, 6}], 100 / transform(m[range{3, 9}], shifted)); });
  fails([&](auto& z) { z = transform(m, shifted) / m[range{all, all, -1}]; });
  fails([&](auto& z) { z = tensor(z / transform(m, shifted)); });
  const auto named = 100 / transform(m, shifted);
  fails([&](auto& z) { z = named + 1; });
}

BOOST_AUTO_TEST_CASE(an_index_beside_an_expression, *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                       return boost::test_tools::assertion_result(hardened);
                     })) {
  const child dead = run_in_child([] {
    const tensor a{1, 2, 3};
    volatile int seen = (a + a)[3];
    (void)seen;
  });
  BOOST_TEST(dead.aborted("an index is beside the tensor"), dead);
}

BOOST_AUTO_TEST_CASE(functions_of_ones_own) {
  const tensor a{{1.0f, 2.5f}, {-3.5f, 4.0f}};
  const auto floor_of = [](float x) { return std::floor(x); };
  BOOST_TEST(same(transform(a, floor_of), tensor{{1.0f, 2.0f}, {-4.0f, 4.0f}}));
  BOOST_TEST(same(transform(a, [](float x) { return x > 0; }), a > 0.0f));
  static_assert(std::is_same_v<element_of<decltype(transform(a, [](float x) { return static_cast<int>(x); }))>, int>);
  double (*const sine)(double) = [](double x) { return std::sin(x); };
  BOOST_TEST((transform(a, sine)[1, 1]) == std::sin(4.0));

  // Two operands, which broadcast; one of them may be a value. What f refers to is read when it is evaluated.
  const tensor<int, 1> n({7, -8, 9});
  const auto remainder = [](int x, int y) { return x % y; };
  BOOST_TEST(same(transform(n, 3, remainder), tensor<int, 1>({1, -2, 0})));
  BOOST_TEST(same(transform(reshape(n, {3, 1}), tensor<int, 1>({2, 5}), remainder), tensor{{1, 2}, {0, -3}, {1, 4}}));
  BOOST_TEST(same(transform(20, n, remainder), tensor<int, 1>({6, 4, 2})));
  BOOST_CHECK_THROW((void)transform(n, a[0, all], [](int x, float) { return x; }), std::invalid_argument);
  int offset = 0;
  const auto later = transform(n, [&](int x) { return x + offset; });
  offset = 10;
  BOOST_TEST(same(later, n + 10));

  // In larger expressions, of views, in place, in reductions and on several threads.
  const tensor floors(transform(a, floor_of));
  BOOST_TEST(same(exp(transform(transpose(a), floor_of)) + 1.0f, exp(transpose(floors)) + 1.0f));
  BOOST_TEST(sum(transform(a * 2.0f, floor_of)) == 8.0f);
  BOOST_TEST(same(transform(max(a, axes<1>), floor_of), tensor<float, 1>({2, 4})));
  const float single = transform(tensor<float, 0>(2.5f), floor_of);
  BOOST_TEST(single == 2.0f);
  tensor large = arange<float>(0, 100'000);
  const tensor expected(large * 0.5f + 1.0f);
  const auto half = [](float x) { return x * 0.5f; };
  BOOST_TEST(same(evaluate(parallel, transform(large, half) + 1.0f), expected));
  large = transform(large, half) + 1.0f;
  BOOST_TEST(same(large, expected));

  // What f throws passes.
  const auto positive = [](float x) { return x < 0 ? throw std::range_error("negative") : x; };
  BOOST_CHECK_THROW((void)evaluate(transform(a, positive)), std::range_error);

  // Only functions that can be copied freely, and that give elements for these.
  std::vector<float> table{1, 2};
  const auto by_copy = [table](float x) { return table[0] * x; };
  const auto by_reference = [&table](float x) { return table[1] * x; };
  using matrix = tensor<float, 2>;
  static_assert(!transforms<matrix, decltype(by_copy)> && transforms<matrix, decltype(by_reference)>);
  const auto nothing = [](float) {};
  const auto of_two = [](float x, float y) { return x + y; };
  const auto counting = [n = 0](float) mutable { return ++n; };
  static_assert(!transforms<matrix, decltype(nothing)> && !transforms<matrix, decltype(of_two)>);
  static_assert(!transforms<matrix, decltype(counting)> && !transforms<float, decltype(floor_of)>);
  BOOST_TEST(same(transform(a, by_reference), a * 2.0f));
}

BOOST_AUTO_TEST_CASE(powers_that_need_no_call) {
  for (const double exponent : {2.0, 3.0, 0.5, -1.0, 2.5, 0.0}) {
    std::size_t wrong = 0;
    const auto check = [&]<class T>(T x) {
      const T y = static_cast<T>(exponent), wanted = std::pow(x, y), got = pow(tensor<T, 1>({x}), y)[0];
      const T single = pow(tensor<T, 1>({x}), tensor<T, 1>({y}))[0];
      const bool right = std::isnan(wanted) ? std::isnan(got)
                                            : got == wanted || std::abs(got - wanted) <=
                                                                   std::abs(wanted) * std::numeric_limits<T>::epsilon();
      wrong += !right + (std::isnan(wanted) ? !std::isnan(single) : single != got);
      wrong += std::signbit(got) != std::signbit(wanted) && !std::isnan(wanted);
      if (!right) BOOST_TEST_MESSAGE(x << " ** " << exponent << ": " << got << ", not " << wanted);
    };
    std::mt19937 random{3};
    for (int i = 0; i < 2000; ++i) {
      const double x = std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 80) - 70);
      check(static_cast<float>(x));
      check(-static_cast<float>(x));
      check(x);
      check(-x);
    }
    for (const double x : {0.0, -0.0, 1e-310, -1e-310, HUGE_VAL, -HUGE_VAL, std::nan("")})
      check(x), check(static_cast<float>(x));
    BOOST_TEST(wrong == 0u, "exponent " << exponent);
  }
}

BOOST_AUTO_TEST_CASE(many_operands) {
  add_many_operands<float>();
  add_many_operands<double>();
}

BOOST_AUTO_TEST_CASE(integers_at_their_limits) {
  const tensor i{int_min, int_max, -1};
  BOOST_TEST(same(i + tensor{-1, 1, 1}, tensor{int_max, int_min, 0}));
  BOOST_TEST(same(i - tensor{1, -1, 0}, tensor{int_max, int_min, -1}));
  BOOST_TEST(same(i * 2, tensor{0, -2, -2}));
  BOOST_TEST(same(-i, tensor{int_min, -int_max, 1}));
  BOOST_TEST(same(abs(i), tensor{int_min, int_max, 1}));
  BOOST_TEST(same(i / -1, tensor{int_min, -int_max, 1}));
  BOOST_TEST(same(tensor{7, -7} / 2, tensor{3, -3}));
  BOOST_TEST(sum(tensor{int_max, 1}) == int_min);
  BOOST_TEST(same(pow(tensor{2, -3, 0, 10}, tensor{31, 3, 0, 9}), tensor{int_min, -27, 1, 1000000000}));
  BOOST_TEST(same(pow(tensor{2, 1, -1, -1}, tensor{-1, -5, -2, -3}), tensor{0, 1, 1, -1}));
  const tensor<std::uint8_t, 1> bytes{200, 100};
  tensor<std::uint8_t, 1> wrapped = bytes + bytes;
  BOOST_TEST(same(wrapped, tensor<std::uint8_t, 1>{144, 200}));
}

// x / y in rows, which is computed otherwise than C++ does, for each x with each y.
template <class X, class Y>
void check_quotients(const std::vector<X>& dividends, const std::vector<Y>& divisors) {
  using R = decltype(X{} / Y{});
  auto x = zeros<X>({dividends.size()});
  std::ranges::copy(dividends, x.begin());
  std::size_t wrong = 0;
  for (const Y y : divisors) {
    const auto got = evaluate(x / full<Y>({1}, y)), by_value = evaluate(x / y);
    static_assert(std::is_same_v<element_of<decltype(got)>, R>);
    for (std::size_t i = 0; i < dividends.size(); ++i) {
      R wanted = static_cast<R>(dividends[i]);  // NOLINT(bugprone-signed-char-misuse): a number
      if (static_cast<R>(y) == static_cast<R>(-1) && std::is_signed_v<R>)
        wanted = static_cast<R>(std::make_unsigned_t<R>{0} - static_cast<std::make_unsigned_t<R>>(wanted));
      else
        wanted = static_cast<R>(wanted / static_cast<R>(y));
      if (got[i] != wanted || by_value[i] != wanted)
        BOOST_TEST_MESSAGE(+dividends[i] << " / " << +y << " = " << +got[i]);
      wrong += (got[i] != wanted) + (by_value[i] != wanted);
    }
  }
  BOOST_TEST(wrong == 0u);
}
// The least and the largest ones, and those around multiples of divisors, where rounding would show.
template <class T>
std::vector<T> telling_integers() {
  using limits = std::numeric_limits<T>;
  std::vector<T> telling;
  for (int i = 0; i < 20; ++i) {
    telling.push_back(static_cast<T>(limits::min() + static_cast<T>(i)));
    telling.push_back(static_cast<T>(limits::max() - static_cast<T>(i)));
    if (i > 0) telling.push_back(static_cast<T>(i)), telling.push_back(static_cast<T>(-i));
  }
  std::mt19937_64 random{5};
  for (int i = 0; i < 300; ++i) {
    const auto y = static_cast<T>(random() >> (random() % 64) | 1u);
    const T whole = static_cast<T>(limits::max() / y);
    using modular = std::make_unsigned_t<decltype(T{} + T{})>;
    const modular multiple = static_cast<modular>(whole) * static_cast<modular>(y);
    for (const T each : {y, whole, static_cast<T>(multiple), static_cast<T>(multiple - 1)}) telling.push_back(each);
  }
  return telling;
}
template <class X, class Y>
void check_telling_quotients() {
  std::vector<Y> divisors = telling_integers<Y>();
  std::erase(divisors, Y{0});
  check_quotients(telling_integers<X>(), divisors);
}

BOOST_AUTO_TEST_CASE(integers_divided_in_rows) {
  std::vector<std::uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  const std::vector<std::int8_t> signed_bytes(bytes.begin(), bytes.end());
  check_quotients(bytes, std::vector(bytes.begin() + 1, bytes.end()));
  check_quotients(signed_bytes, std::vector(signed_bytes.begin() + 1, signed_bytes.end()));
  check_quotients(bytes, std::vector(signed_bytes.begin() + 1, signed_bytes.end()));
  check_telling_quotients<std::uint16_t, std::uint16_t>();
  check_telling_quotients<std::int16_t, std::uint16_t>();
  check_telling_quotients<std::int32_t, std::int32_t>();
  check_telling_quotients<std::uint32_t, std::uint32_t>();
  check_telling_quotients<std::int32_t, std::uint32_t>();
  check_telling_quotients<std::uint8_t, std::int32_t>();
  check_telling_quotients<std::int64_t, std::int64_t>();
  check_telling_quotients<std::uint64_t, std::uint64_t>();
  check_telling_quotients<std::int32_t, std::uint64_t>();
}

// Of all elements at once, as vectors are, what would have been one by one.
template <class T, class X>
void check_conversion() {
  using limits = std::numeric_limits<T>;
  std::vector<X> values{0,
                        X(-0.0),
                        X(0.99),
                        X(-0.99),
                        X(1.5),
                        X(-1.5),
                        std::numeric_limits<X>::infinity(),
                        -std::numeric_limits<X>::infinity(),
                        std::numeric_limits<X>::quiet_NaN(),
                        std::numeric_limits<X>::max(),
                        std::numeric_limits<X>::lowest(),
                        std::numeric_limits<X>::denorm_min()};
  for (const X end : {static_cast<X>(limits::min()), static_cast<X>(limits::max())})
    for (X each : {end, end + 1, end - 1, end + X(0.5), end - X(0.5), end + X(0.99), end - X(0.99), end * 2})
      for (int i = 0; i < 3; ++i) {
        values.push_back(each);
        each = std::nextafter(each, i == 0 ? X(0) : each * 2);
      }
  auto x = zeros<X>({values.size()});
  std::ranges::copy(values, x.begin());
  const auto got = evaluate(cast<T>(x));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const long double whole = std::trunc(static_cast<long double>(values[i]));
    const T wanted = std::isnan(values[i])                              ? T{0}
                     : whole <= static_cast<long double>(limits::min()) ? limits::min()
                     : whole >= static_cast<long double>(limits::max()) ? limits::max()
                                                                        : static_cast<T>(whole);
    if (got[i] != wanted) BOOST_TEST_MESSAGE(values[i] << " as " << dtype_of<T> << " is " << +got[i]);
    wrong += got[i] != wanted;
  }
  BOOST_TEST(wrong == 0u);
}
using integers = std::tuple<std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t, std::uint32_t,
                            std::int64_t, std::uint64_t>;
BOOST_AUTO_TEST_CASE_TEMPLATE(floating_point_as_integers, T, integers) {
  check_conversion<T, float>();
  check_conversion<T, double>();
}

BOOST_AUTO_TEST_CASE(integers_divided_by_zero) {
  test_resource r;
  {
    const tensor a({6, 7, 8}, &r);
    const tensor zero({3, 0, 1}, &r);
    BOOST_CHECK_THROW(((void)evaluate(a / zero, &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(a / 0, &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)((a / zero)[1])), std::domain_error);
    BOOST_TEST(((a / zero)[0]) == 2);
    BOOST_CHECK_THROW(((void)sum(a / zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)all(a / zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)argmax(a / zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(argmin(reshape(a, {3, 1}) / zero, axes<1>), &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(a / (a / (zero * 100)), &r)), std::domain_error);  // a quotient that is zero
    BOOST_CHECK_THROW(((void)evaluate(where(zero != 0, a / zero, 0), &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(concatenate<0>(a / zero, a), &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(transform(a / zero, [](int x) { return x; }), &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(parallel, a / zero, &r)), std::domain_error);
    BOOST_CHECK_THROW(((void)(a / zero).to_nested()), std::domain_error);
    BOOST_CHECK_THROW(((void)evaluate(pow(zero, -1), &r)), std::domain_error);
    tensor target({1, 2, 3}, &r);
    const int* const elements = target.data();
    BOOST_CHECK_THROW(((void)(target = a / zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)(target[all] = 1 + a / zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)(target /= zero)), std::domain_error);
    BOOST_CHECK_THROW(((void)(target[range{0, 1}] = sum(a / zero, axes<0>, keepdims))), std::domain_error);
    BOOST_TEST(same(target, tensor{1, 2, 3}));  // as it was
    BOOST_TEST(target.data() == elements);
    target = true_divide(a, zero);  // IEEE's rules; what is beyond the integers becomes the nearest one
    BOOST_TEST(same(target, tensor{2, int_max, 8}));
    target = true_divide(tensor{0, -1, -3}, tensor{0, 0, 2});
    BOOST_TEST(same(target, tensor{0, int_min, -1}));
    const auto quotients = evaluate(true_divide(a, zero), &r);
    BOOST_TEST(quotients[1] == std::numeric_limits<double>::infinity());
  }
  BOOST_TEST(r.is_clean());
}

BOOST_AUTO_TEST_CASE(floating_point_at_its_limits) {
  const tensor x{1.0f, -1.0f, 0.0f, infinity, nan_f};
  const auto quotient = evaluate(x / 0.0f);
  BOOST_TEST(quotient[0] == infinity);
  BOOST_TEST(quotient[1] == -infinity);
  BOOST_TEST(std::isnan(quotient[2]));
  BOOST_TEST(std::isnan(quotient[4]));
  const auto e = evaluate(exp(x * 1000.0f));
  BOOST_TEST(e[0] == infinity);
  BOOST_TEST(e[1] == 0.0f);
  BOOST_TEST(e[2] == 1.0f);
  BOOST_TEST(e[3] == infinity);
  BOOST_TEST(std::isnan(e[4]));
  const auto l = evaluate(log(x));
  BOOST_TEST(l[0] == 0.0f);
  BOOST_TEST(std::isnan(l[1]));
  BOOST_TEST(l[2] == -infinity);
  BOOST_TEST(l[3] == infinity);
  BOOST_TEST(std::isnan((sqrt(x)[1])));
  constexpr float tiny = std::numeric_limits<float>::denorm_min();
  BOOST_TEST(same(tensor{tiny, tiny} + tensor{tiny, 0.0f}, tensor{2 * tiny, tiny}));
  for (const bool swapped : {false, true}) {
    const tensor one{1.0f, nan_f, 2.0f}, other{nan_f, 1.0f, 3.0f};
    const auto larger = evaluate(swapped ? maximum(other, one) : maximum(one, other));
    const auto smaller = evaluate(swapped ? minimum(other, one) : minimum(one, other));
    BOOST_TEST((std::isnan(larger[0]) && std::isnan(larger[1]) && larger[2] == 3.0f));
    BOOST_TEST((std::isnan(smaller[0]) && std::isnan(smaller[1]) && smaller[2] == 2.0f));
  }
}

BOOST_AUTO_TEST_CASE(evaluation_allocates_its_result_and_reductions) {
  test_resource r, other;
  auto* const before = std::pmr::set_default_resource(&other);
  {
    const auto a = uniform<float>({40, 50}, &r), b = uniform<float>({40, 50}, &r), c = uniform<float>({40, 50}, &r);
    std::size_t count = r.allocations();
    const auto expression = a * b + exp(c - max(c, axes<1>, keepdims));
    BOOST_TEST(r.allocations() == count);
    tensor d(expression, &r);
    BOOST_TEST(r.allocations() == count + 2);  // the result, and the maxima
    BOOST_TEST(r.last_bytes() == 40 * sizeof(float));
    d = expression;
    BOOST_TEST(r.allocations() == count + 3);  // the maxima
    d[range{0, 20}, all] = exp(a[range{0, 20}, all]) * 2.0f + log(b[range{20, 40}, all]);
    d = a * b + d;
    d += d * 2.0f;
    d = sqrt(abs(where(a > b, a, b)));
    const float total = sum(a * b) + max(exp(d)) + mean(a - c);
    BOOST_TEST(total == total);
    BOOST_TEST(r.allocations() == count + 3);
    auto sums = evaluate(sum(a + b, axes<0>), &r);
    BOOST_TEST(r.allocations() == count + 4);
    sums = max(c, axes<0>);
    const float one = sum(a, axes<0>)[3];
    BOOST_TEST(one > 0.0f);
    BOOST_TEST(r.allocations() == count + 4);
    // rvalues are moved in, with their memory
    auto moved_in = zeros<float>({40, 50}, &r) + a;
    BOOST_TEST(r.allocations() == count + 5);
    const auto kept = std::move(moved_in);
    BOOST_TEST(same(kept, a));
    BOOST_TEST(r.allocations() == count + 5);
  }
  std::pmr::set_default_resource(before);
  BOOST_TEST(r.is_clean());
  BOOST_TEST(other.allocations() == 0u);
}

BOOST_AUTO_TEST_CASE(expressions_of_expressions) {
  const tensor a{1, 2, 3};
  const auto twice = a + a;
  const auto more = twice * twice;  // copies the nodes, which only point to a
  BOOST_TEST(same(more, tensor{4, 16, 36}));
  const auto none_left = [&] { return a * 2 + 1; }();
  BOOST_TEST(same(none_left, tensor{3, 5, 7}));
  const int scalar = tensor<int, 0>(4) + 1;
  BOOST_TEST(scalar == 5);
}

// What is left to do with a reduction before it is repeated is done in its memory.
BOOST_AUTO_TEST_CASE(functions_of_reductions_are_computed_in_their_place) {
  test_resource r;
  auto x = reshape(arange<float>(1, 61, 1, &r), {12, 5});
  tensor<float, 2> y({12, 5}, &r);
  const auto expected = [&](std::size_t i, std::size_t j) {
    float squares = 0;
    for (std::size_t k = 0; k < 5; ++k) squares += x[i, k] * x[i, k];
    return x[i, j] / std::sqrt(squares / 5 + 0.5f) - (2 - squares);
  };
  std::size_t before = r.allocations();
  y = x / sqrt(mean(x * x, axes<1>, keepdims) + 0.5f) - (2.0f - sum(x * x, axes<1>, keepdims));
  BOOST_TEST(r.allocations() == before + 2);
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      const float wanted = expected(i, j), got = y[i, j];
      BOOST_TEST(std::abs(got - wanted) <= 1e-5f * std::abs(wanted));
    }
  // Other types, integers that may fail, and the result itself.
  before = r.allocations();
  const tensor<double, 2> wider(x / (sum(x, axes<1>, keepdims) + 1.0), &r);
  BOOST_TEST((wider[0, 0]) == 1.0 / 16.0);
  BOOST_TEST(r.allocations() == before + 2);
  const auto counts = tensor{{1, -1}, {2, 3}};
  BOOST_TEST(same(counts * (10 / (sum(counts, axes<1>, keepdims) + 1)), tensor{{10, -10}, {2, 3}}));
  BOOST_CHECK_THROW((void)evaluate(counts + 1 / sum(counts, axes<1>, keepdims)), std::domain_error);
  BOOST_TEST(same(exp(sum(zeros<float>({2, 3}), axes<1>)), ones<float>({2})));
  BOOST_TEST(same(1 - (1 - sum(counts, axes<0>)), sum(counts, axes<0>)));
  const float all_of_it = sum(counts * (sum(counts, axes<0>, keepdims) * 2.0f));
  BOOST_TEST(all_of_it == 26.0f);
  const tensor<float, 2> temporary(full<float>({2, 1}, 4, &r) * 2.0f + counts, &r);
  BOOST_TEST(same(temporary, tensor{{9.0f, 7.0f}, {10.0f, 11.0f}}));
}

BOOST_AUTO_TEST_CASE(columns_of_one_array) {
  const auto original = reshape(arange<int>(0, 4000), {400, 10});
  for (int to = 0; to < 10; ++to)
    for (int from = 0; from < 10; ++from) {
      auto t = original.copy();
      t[all, to] += t[all, from] * 2;
      tensor wanted = original.copy();
      for (int i = 0; i < 400; ++i) wanted[i, to] += 2 * original[i, from];
      BOOST_TEST(same(t, wanted));
      t[range{1, all}, to] = t[range{0, -1}, from];
      const tensor before = wanted.copy();
      for (int i = 1; i < 400; ++i) wanted[i, to] = before[i - 1, from];
      BOOST_TEST(same(t, wanted));
    }
}

// A column beside a matrix, wherever it is: it may lie as far apart as the rows are long, and be part of the matrix.
BOOST_AUTO_TEST_CASE(columns_beside_a_matrix) {
  for (const std::size_t width : {2u, 3u, 15u, 16u, 17u, 64u, 600u, 3000u})
    for (const std::size_t height : {1u, 2u, 31u, 70u}) {
      const auto count = static_cast<float>(height * width);
      const tensor a = reshape(arange<float>(count), {height, width});
      const tensor<float, 2> sums = a[all, range{0, 1}] * 3.0f;  // neighbours
      const auto first = a[all, range{0, 1}];                    // a row apart
      const auto turned = sums[range{all, all, -1}];
      tensor<float, 2> products = a * first, differences(sums - a), both(first * sums + a), last(a + turned),
                       in_place = a;
      tensor<double, 2> wider(a - first);
      tensor<float, 2> roots = sqrt(a * sums), decay = exp(first - a), rows = zeros<float>({height, width + 5});
      rows[all, range{2, -3}] = first + a;
      in_place -= in_place[all, range{0, 1}];
      const tensor<float, 1> totals = sum(a - first, axes<1>);
      const tensor<float, 1> most = max(first - a, axes<0>);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < height; ++i) {
        const float column = a[i, 0], sum_of_row = column * 3;
        float total = 0;
        for (std::size_t j = 0; j < width; ++j) {
          const float x = a[i, j];
          total += x - column;
          wrong += products[i, j] != x * column;
          wrong += differences[i, j] != sum_of_row - x;
          wrong += both[i, j] != column * sum_of_row + x;
          wrong += last[i, j] != x + 3 * a[height - 1 - i, 0];
          wrong += wider[i, j] != static_cast<double>(x - column);
          wrong += roots[i, j] != std::sqrt(x * sum_of_row);
          wrong += std::abs(decay[i, j] - std::exp(column - x)) > 1e-6f;
          wrong += rows[i, j + 2] != column + x;
          wrong += in_place[i, j] != x - column;
          wrong += i == 0 && most[j] != -static_cast<float>(j);
        }
        wrong += std::abs(totals[i] - total) > 1e-6f * total;
        wrong += rows[i, 1] != 0.0f || rows[i, width + 2] != 0.0f;
      }
      BOOST_TEST(wrong == 0u, wrong << " wrong of " << height << " x " << width);
    }
  const tensor<int, 2> matrix = reshape(arange<int>(24), {4, 6});
  const auto column = matrix[all, range{1, 2}];
  BOOST_TEST(same(transpose(matrix) - transpose(column), tensor<int, 2>(transpose(matrix - column))));
  tensor<int, 3> cube = expand(matrix, {3, 4, 6}).copy();
  cube *= expand(column, {3, 4, 1});
  BOOST_TEST(same(cube[2], tensor<int, 2>(matrix * column)));
  BOOST_TEST(same(cube[0], cube[1]));
}

BOOST_AUTO_TEST_CASE(on_several_threads) {
  for (const std::size_t columns : {1u, 7u, 1000u, 100'000u}) {
    const std::size_t rows = 200'000 / columns;
    const auto a = uniform<double>({rows, columns}), b = uniform<double>({rows, columns});
    const auto expression = exp(a) * b + sum(a, axes<0>);
    const auto expected = evaluate(expression);
    BOOST_TEST(same(evaluate(parallel, expression), expected));
    auto target = zeros<double>({rows, columns});
    assign(parallel, target, expression);
    BOOST_TEST(same(target, expected));
    auto turned = zeros<double>({columns, rows});
    assign(parallel, transpose(turned), expression);
    BOOST_TEST(same(transpose(turned), expected));
    const auto over_rows = evaluate(parallel, max(a - b, axes<1>));
    BOOST_TEST(same(over_rows, max(a - b, axes<1>)));
    BOOST_TEST(same(evaluate(parallel, min(a - b, axes<0>)), min(a - b, axes<0>)));
    BOOST_TEST(same(evaluate(parallel, argmax(a, axes<1>)), argmax(a, axes<1>)));
  }
  const tensor<int, 1> zero(std::array<std::size_t, 1>{100'000});
  BOOST_CHECK_THROW(((void)evaluate(parallel, 1 / zero)), std::domain_error);
}

// Each element is computed from those of the same index, whatever else is read beside them, and however rows are cut.
BOOST_AUTO_TEST_CASE(targets_that_are_operands) {
  for (const std::size_t columns : {1u, 3u, 8u, 31u, 128u, 129u, 511u, 700u, 1500u}) {
    const std::size_t rows = 5;
    tensor<float, 3> start({2, rows, columns});
    for (float& each : start) each = static_cast<float>((&each - start.data()) % 97) / 64.0f;
    const tensor<float, 1> row = arange<float>(0, static_cast<float>(columns)) / 512.0f;
    const tensor<float, 2> column = reshape(arange<float>(0, static_cast<float>(rows)), {rows, 1u});
    const auto check = [&](auto compute) {
      const auto check_with = [&](auto write) {
        const tensor<float, 3> wanted = compute(start);
        tensor<float, 3> x = start;
        write(x, compute(x));
        BOOST_TEST(same(x, wanted), columns << " columns");
        auto wide = zeros<float>({2u, rows, columns + 3});
        auto part = wide[all, all, range{1, columns + 1}];
        part = start;
        write(part, compute(part));
        BOOST_TEST(same(part, wanted), columns << " columns of more");
        auto apart = zeros<float>({2u, rows, 2 * columns});
        auto every_other = apart[all, all, range{0, 2 * columns, 2}];
        every_other = start;
        write(every_other, compute(every_other));
        BOOST_TEST(same(every_other, wanted), columns << " columns of twice as many");
      };
      check_with([](auto& target, const auto& expression) { target = expression; });
      check_with([](auto& target, const auto& expression) { assign(parallel, target, expression); });
    };
    check([](const auto& x) { return x * x + x; });
    check([&](const auto& x) { return x - row; });
    check([&](const auto& x) { return column * x + 1.0f; });
    check([](const auto& x) { return exp(x); });
    check([](const auto& x) { return exp(x * 0.5f + x); });
    check([&](const auto& x) { return exp(exp(x) * row) + x; });
  }
}

// Of more than 32 MiB are written past the caches, by the line: whole, from the middle of a line on, by several
// threads, of operands that are repeated or strided.
BOOST_AUTO_TEST_CASE(large_targets) {
  constexpr std::size_t rows = 2900, columns = 2901;
  static_assert(rows * columns * sizeof(float) > std::size_t{32} << 20);
  const tensor<float, 1> values = arange<float>(0, 1000) / 128.0f, powers = exp(values);
  const auto number = [](std::size_t r, std::size_t c) { return (r * 31 + c * 7) % 1000; };
  const auto value = [&](std::size_t r, std::size_t c) { return values[number(r, c)]; };
  tensor<float, 2> a({rows, columns});
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) a[r, c] = value(r, c);
  const auto row = a.view()[5];
  std::vector<float> memory(rows * columns + 2, -1.0f);
  const tensor_view<float, 2> target(memory.data() + 1, {rows, columns});
  const auto check = [&](auto wanted) {
    std::size_t wrong = 0;
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c) wrong += target[r, c] != wanted(r, c);
    BOOST_TEST(wrong == 0u);
    BOOST_TEST((memory.front() == -1.0f && memory.back() == -1.0f));
  };
  target = a;
  check(value);
  target = a * 2.0f + row;
  check([&](std::size_t r, std::size_t c) { return value(r, c) * 2.0f + value(5, c); });
  target = exp(a);
  check([&](std::size_t r, std::size_t c) { return powers[number(r, c)]; });
  target += target;
  check([&](std::size_t r, std::size_t c) { return 2 * powers[number(r, c)]; });
  target = exp(a * 1.0f);
  check([&](std::size_t r, std::size_t c) { return powers[number(r, c)]; });
  target = a;
  target = exp(target * 1.0f);
  check([&](std::size_t r, std::size_t c) { return powers[number(r, c)]; });
  assign(parallel, target, a[all, range{all, all, -1}] - a);
  check([&](std::size_t r, std::size_t c) { return value(r, columns - 1 - c) - value(r, c); });
}

template <class E>
concept an_operand = requires(E&& e) { std::forward<E>(e) + 1.0f; };
BOOST_AUTO_TEST_CASE(expressions_that_own_a_temporary_are_referred_to_by_name) {
  const auto f = ones<float>({2, 2});
  auto e = f * full<float>({2, 2}, 3.0f);
  static_assert(an_operand<decltype(e)&> && an_operand<const decltype(e)&> && an_operand<decltype(f * f)&>);
  static_assert(an_operand<decltype(e)> && !an_operand<const decltype(e)>);
  BOOST_TEST(same(evaluate(e + 1.0f), full<float>({2, 2}, 4.0f)));
  BOOST_TEST(same(evaluate(e * e + f), full<float>({2, 2}, 10.0f)));
  BOOST_TEST(same(evaluate(exp(e - e)), f));
  BOOST_TEST(sum(e) == 12.0f);
  BOOST_TEST((e[1, 1]) == 3.0f);
  BOOST_TEST(evaluate(sum(e, axes<0>)).to_nested() == (std::vector{6.0f, 6.0f}));
  BOOST_TEST(same(evaluate(transpose(e)), evaluate(e)));
  BOOST_TEST(evaluate(concatenate<0>(e, f)).shape()[0] == 4);
  const auto largest = max(full<float>({2, 2}, 5.0f), axes<1>, keepdims);
  BOOST_TEST(same(evaluate(e - largest), full<float>({2, 2}, -2.0f)));
  const auto lower = tril(full<float>({2, 2}, 5.0f));
  BOOST_TEST(sum(lower + 1.0f) == 19.0f);
  BOOST_TEST(evaluate(concatenate<1>(lower, lower)).shape()[1] == 4);
  tensor target = f.copy();
  target += e;
  BOOST_TEST(same(target, full<float>({2, 2}, 4.0f)));
  auto quotient = full<int>({2}, 1) / zeros<int>({2});
  BOOST_CHECK_THROW(static_cast<void>(evaluate(quotient + 1)), std::domain_error);
  BOOST_CHECK_THROW(static_cast<void>(sum(quotient)), std::domain_error);
  BOOST_TEST(same(evaluate(std::move(e) + 1.0f), full<float>({2, 2}, 4.0f)));
}

// As it is without its name.
BOOST_AUTO_TEST_CASE(what_is_computed_as_a_whole_goes_straight_into_the_target_by_its_name_too) {
  buffers::test_resource memory;
  const auto f = ones<float>({3, 4}, &memory);
  const auto turned = transpose(full<float>({4, 3}, 2.0f, &memory) + 1.0f);
  const auto largest = max(full<float>({3, 4}, 2.0f, &memory) + 1.0f, axes<1>, keepdims);
  const auto joined = concatenate<0>(full<float>({3, 4}, 2.0f, &memory), f);
  tensor<float, 2> a({3, 4}, &memory), b({3, 1}, &memory), c({6, 4}, &memory);
  const std::size_t before = memory.allocations();
  const float* const places[] = {a.data(), b.data(), c.data()};
  a = turned;
  b = largest;
  c = joined;
  c = concatenate<0>(f, joined[0, 0] * a);
  BOOST_TEST((a[2, 3] == 3.0f && b[2, 0] == 3.0f && c[0, 0] == 1.0f && c[5, 3] == 6.0f));
  BOOST_TEST(memory.allocations() == before);
  BOOST_TEST((a.data() == places[0] && b.data() == places[1] && c.data() == places[2]));
}

BOOST_AUTO_TEST_SUITE_END()
