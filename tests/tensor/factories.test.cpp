// zeros, ones, full, empty, uniform, normal, arange.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <random>
#include <stdexcept>
#include <type_traits>

#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

BOOST_AUTO_TEST_SUITE(factories)

BOOST_AUTO_TEST_CASE(the_rank_is_that_of_the_braces) {
  slab_resource s;
  const auto two = zeros<float>({3, 3}, &s);
  static_assert(std::is_same_v<decltype(two), const tensor<float, 2>>);
  static_assert(std::is_same_v<decltype(zeros<bool>({})), tensor<bool, 0>>);
  static_assert(std::is_same_v<decltype(ones<int>(two.shape())), tensor<int, 2>>);
  const int rows = 2;
  const std::size_t columns = 3;
  BOOST_TEST(same(full<float>({rows, columns}, 2, &s), tensor{{2.0f, 2.0f, 2.0f}, {2.0f, 2.0f, 2.0f}}));
  BOOST_TEST(ones<double>({}, &s)[] == 1.0);
  BOOST_TEST((empty<float>({4, 5, 6}, &s).shape() == std::array<std::size_t, 3>{4, 5, 6}));
  BOOST_TEST(same(zeros<bool>({2}), tensor{false, false}));
  BOOST_TEST(same(full<int>(two.shape(), 7), full<int>({3, 3}, 7)));
}

BOOST_AUTO_TEST_CASE(ranges_of_numbers) {
  slab_resource s;
  BOOST_TEST(same(arange<int>(0, 10, 2, &s), tensor{0, 2, 4, 6, 8}));
  BOOST_TEST(same(arange<int>(0, 9, 2), tensor{0, 2, 4, 6, 8}));
  BOOST_TEST(same(arange<int>(3, &s), tensor{0, 1, 2}));
  BOOST_TEST(same(arange<int>(5, 2, -1), tensor{5, 4, 3}));
  BOOST_TEST(same(arange<double>(0, 1, 0.25), tensor{0.0, 0.25, 0.5, 0.75}));
  BOOST_TEST(arange<int>(5, 2).numel() == 0u);
  // 1 + 3 * 0.1 is 1.3, and 3 * 0.1f is 0.3f, by rounding.
  BOOST_TEST(same(arange<double>(1, 1.3, 0.1), tensor{1.0, 1.1, 1.2}));
  BOOST_TEST(arange<float>(0, 0.3f, 0.1f).numel() == 3u);
  BOOST_TEST(arange<double>(0, -0.3, -0.1).numel() == 3u);
  for (int k = 1; k < 1000; ++k) {
    const auto elements = arange<float>(0, 0.1f * static_cast<float>(k), 0.1f);
    BOOST_TEST(elements[-1] < 0.1f * static_cast<float>(k));
    BOOST_TEST((elements.numel() == static_cast<std::size_t>(k)));
  }
  BOOST_TEST(arange<float>(1, 2, -1).numel() == 0u);
  constexpr auto least = std::numeric_limits<std::int64_t>::min(), most = std::numeric_limits<std::int64_t>::max();
  BOOST_TEST(same(arange<std::int64_t>(least, most, most), tensor<std::int64_t, 1>{least, -1, most - 1}));
  BOOST_TEST(same(arange<std::int64_t>(most, least, least), tensor<std::int64_t, 1>{most, -1}));
  BOOST_TEST(same(arange<std::uint8_t>(250, 255, 2), tensor<std::uint8_t, 1>{250, 252, 254}));
  BOOST_CHECK_THROW(((void)(arange<int>(0, 1, 0))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(arange<float>(0, 1, std::numeric_limits<float>::quiet_NaN()))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(arange<double>(0, std::nan(""), 1))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(arange<double>(0, INFINITY, 1))), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(random_values) {
  slab_resource s;
  std::mt19937 engine{42};
  const auto u = uniform<float>({100, 100}, engine, &s);
  BOOST_TEST(all(u >= 0.0f && u < 1.0f));
  BOOST_TEST(std::abs(mean(u) - 0.5f) < 0.01f);
  const auto n = normal<double>({100, 101}, engine, &s);
  BOOST_TEST(std::abs(mean(n)) < 0.05);
  BOOST_TEST(std::abs(mean(n * n) - 1.0) < 0.06);
  // each engine gives the same values each time, and goes on
  std::mt19937 same_again{42};
  BOOST_TEST(same(uniform<float>({100, 100}, same_again), u));
  BOOST_TEST(same(normal<double>({100, 101}, same_again), n));
  BOOST_TEST(!same(uniform<float>({100, 100}, same_again), u));
  std::minstd_rand small{1};  // a range that is no power of two
  const auto m = uniform<double>({10'000}, small);
  BOOST_TEST(std::abs(mean(m) - 0.5) < 0.02);
  BOOST_TEST(std::abs(mean(m * m) - 1.0 / 3.0) < 0.02);
  // without an engine: not the same twice
  BOOST_TEST(!same(uniform<float>({8}, &s), uniform<float>({8}, &s)));
  BOOST_TEST(!same(normal<float>(u.shape()), normal<float>(u.shape())));
  BOOST_TEST(normal<float>({3, 5}).numel() == 15u);
}

BOOST_AUTO_TEST_CASE(the_values_are_fixed) {
  std::mt19937_64 engine{1};
  const double first = static_cast<double>(std::mt19937_64{1}() >> 11) * 0x1p-53;
  BOOST_TEST((uniform<double>({1}, engine)[0]) == first);
  std::mt19937_64 again{1};
  BOOST_TEST((uniform<float>({1}, again)[0]) ==
             static_cast<float>(static_cast<double>(std::mt19937_64{1}() >> 40) * 0x1p-24));
}

BOOST_AUTO_TEST_SUITE_END()
