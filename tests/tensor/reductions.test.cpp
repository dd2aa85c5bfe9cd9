// sum, mean, max, min, argmax, argmin, all and any.
#include <algorithm>
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
#include <vector>

#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

namespace {

const float nan_f = std::numeric_limits<float>::quiet_NaN();

template <class T, int... Axis>
concept has_axes = requires(const T& t) { sum(t, axes<Axis...>); };

// Every reduction of every arrangement of the same elements against plain loops.
template <class V>
void check_against_loops(const V& v) {
  const auto s = v.shape();
  double sums0[8][8] = {}, sums1[8][8] = {}, sums2[8][8] = {}, total = 0, most = -1e300;
  double most1[8][8], sums02[8] = {};
  std::size_t place = 0, where_most = 0, where1[8][8] = {};
  for (auto& row : most1)
    for (double& x : row) x = -1e300;
  for (std::size_t i = 0; i < s[0]; ++i)
    for (std::size_t j = 0; j < s[1]; ++j)
      for (std::size_t k = 0; k < s[2]; ++k, ++place) {
        const double x = static_cast<double>(v[i, j, k]);
        total += x;
        sums0[j][k] += x;
        sums1[i][k] += x;
        sums2[i][j] += x;
        sums02[j] += x;
        if (x > most) most = x, where_most = place;
        if (x > most1[i][k]) most1[i][k] = x, where1[i][k] = j;
      }
  bool right = sum(v) == total && max(v) == most && argmax(v) == where_most;
  const auto r0 = evaluate(sum(v, axes<0>)), r1 = evaluate(sum(v, axes<1>)), r2 = evaluate(sum(v, axes<-1>));
  const auto twice = evaluate(sum(v * 2, axes<1>)), largest = evaluate(max(v, axes<1>));
  const auto places = evaluate(argmax(v, axes<1>));
  const auto kept = evaluate(sum(v, axes<0, 2>, keepdims));
  right = right && kept.shape() == std::array<std::size_t, 3>{1, s[1], 1};
  for (std::size_t i = 0; i < s[0]; ++i)
    for (std::size_t j = 0; j < s[1]; ++j)
      for (std::size_t k = 0; k < s[2]; ++k)
        right = right && r0[j, k] == sums0[j][k] && r1[i, k] == sums1[i][k] && r2[i, j] == sums2[i][j] &&
                twice[i, k] == 2 * sums1[i][k] && largest[i, k] == most1[i][k] && places[i, k] == where1[i][k] &&
                kept[0, j, 0] == sums02[j] && sum(v, axes<1>)[i, k] == sums1[i][k];
  if (!right) BOOST_ERROR("strides " << v.strides()[0] << " " << v.strides()[1] << " " << v.strides()[2]);
}

// The places of the first maxima and minima along the middle of three dimensions, by a loop.
template <class T>
void check_places(const tensor<T, 3>& t) {
  const auto [planes, rows, columns] = t.shape();
  tensor<std::size_t, 2> most({planes, columns}), least({planes, columns});
  const auto is_number = [](T x) { return x == x; };
  for (std::size_t i = 0; i < planes; ++i)
    for (std::size_t k = 0; k < columns; ++k) {
      std::size_t high = 0, low = 0;
      for (std::size_t j = 1; j < rows; ++j) {
        const T x = t[i, j, k], highest = t[i, high, k], lowest = t[i, low, k];
        if (is_number(highest) && (x > highest || !is_number(x))) high = j;
        if (is_number(lowest) && (x < lowest || !is_number(x))) low = j;
      }
      most[i, k] = high;
      least[i, k] = low;
    }
  BOOST_TEST_CONTEXT(planes << " x " << rows << " x " << columns) {
    BOOST_TEST(same(evaluate(argmax(t, axes<1>)), most));
    BOOST_TEST(same(evaluate(argmin(t, axes<1>)), least));
    BOOST_TEST(same(evaluate(parallel, argmax(t, axes<1>)), most));
    const tensor across(permute(t, {0, 2, 1}));
    BOOST_TEST(same(evaluate(argmax(across, axes<-1>)), most));
    BOOST_TEST(same(evaluate(argmin(where(across == across, across, across), axes<-1>)), least));
    const tensor wide(concatenate<2>(t, t));
    BOOST_TEST(same(evaluate(argmax(wide[all, all, range{0, columns}], axes<1>)), most));
    BOOST_TEST(same(evaluate(argmin(where(t == t, t, t), axes<1>)), least));
    if (planes == 1) BOOST_TEST(same(evaluate(argmax(t[0], axes<0>)), most[0]));
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(reductions)

BOOST_AUTO_TEST_CASE(all_elements_make_a_plain_value) {
  const tensor t{{1, 5, 3}, {4, 2, 6}};
  static_assert(std::is_same_v<decltype(sum(t)), int> && std::is_same_v<decltype(mean(t)), double> &&
                std::is_same_v<decltype(max(t)), int> && std::is_same_v<decltype(argmax(t)), std::size_t>);
  BOOST_TEST(sum(t) == 21);
  BOOST_TEST(max(t) == 6);
  BOOST_TEST(min(t) == 1);
  BOOST_TEST(mean(t) == 3.5);
  BOOST_TEST(argmax(t) == 5u);
  BOOST_TEST(argmin(t) == 0u);
  BOOST_TEST(argmin(-t) == 5u);
  BOOST_TEST(sum(t > 2) == 4u);
  static_assert(std::is_same_v<decltype(sum(t > 2)), std::size_t>);
  static_assert(std::is_same_v<decltype(sum(tensor<float, 1>())), float>);
  static_assert(std::is_same_v<decltype(mean(tensor<float, 1>())), float>);
  BOOST_TEST(mean(t > 2) == 4.0 / 6.0);
}

BOOST_AUTO_TEST_CASE(axes_and_keepdims) {
  const tensor t{{1, 5, 3}, {4, 2, 6}};
  const auto r = sum(t, axes<0>);
  BOOST_TEST(r[1] == 7);
  BOOST_TEST(r[-1] == 9);
  BOOST_TEST((r.shape() == std::array<std::size_t, 1>{3}));
  BOOST_TEST(same(r, tensor{5, 7, 9}));
  BOOST_TEST(same(sum(t, axes<1>), tensor{9, 12}));
  BOOST_TEST(same(sum(t, axes<-1>, keepdims), tensor{{9}, {12}}));
  BOOST_TEST(same(max(t, axes<0>, keepdims), tensor{{4, 5, 6}}));
  BOOST_TEST(same(min(t, axes<1>), tensor{1, 2}));
  BOOST_TEST(same(mean(t, axes<0>), tensor{2.5, 3.5, 4.5}));
  BOOST_TEST(same(argmax(t, axes<0>), tensor<std::size_t, 1>{1, 0, 1}));
  BOOST_TEST(same(argmax(t, axes<1>, keepdims), tensor<std::size_t, 2>{{1}, {2}}));
  BOOST_TEST(same(argmin(t, axes<0>), tensor<std::size_t, 1>{0, 1, 0}));
  BOOST_TEST(same(argmin(t, axes<1>, keepdims), tensor<std::size_t, 2>{{0}, {1}}));
  BOOST_TEST(same(any(t > 4, axes<0>), tensor{false, true, true}));
  BOOST_TEST(same(any(t > 5, axes<1>, keepdims), tensor{{false}, {true}}));
  BOOST_TEST(same(all(t > 2, axes<0>), tensor{false, false, true}));
  BOOST_TEST(same(all(t < 6, axes<1>, keepdims), tensor{{true}, {false}}));
  BOOST_TEST(same(sum(t, axes<0, -1>, keepdims), tensor{{21}}));
  BOOST_TEST(same(sum(t, keepdims), tensor{{21}}));
  BOOST_TEST(same(mean(t, keepdims), tensor{{3.5}}));
  BOOST_TEST(same(max(t, keepdims), tensor{{6}}));
  BOOST_TEST(same(min(t, keepdims), tensor{{1}}));
  BOOST_TEST(same(argmax(t, keepdims), tensor<std::size_t, 2>{{5}}));
  BOOST_TEST(same(argmin(-t, keepdims), tensor<std::size_t, 2>{{5}}));
  BOOST_TEST(same(any(t > 5, keepdims), tensor{{true}}));
  BOOST_TEST(same(all(t > 5, keepdims), tensor{{false}}));
  const int total = sum(t, axes<0, 1>);
  BOOST_TEST(total == 21);
  BOOST_TEST(same(sum(t, axes<>), t));
  const tensor<int, 0> five(5);
  BOOST_TEST(same(sum(five, axes<>), five));
  BOOST_TEST(same(sum(five + 1, keepdims), five + 1));
  BOOST_TEST(same(max(five, keepdims), five));
  BOOST_TEST(same(min(five, axes<>), five));
  BOOST_TEST(same(tensor{1, 2} + sum(five, keepdims), tensor{6, 7}));
  BOOST_TEST(same(t - max(t, axes<1>, keepdims), tensor{{-4, 0, -2}, {-2, -4, 0}}));
  BOOST_TEST(same(all(t > 1, axes<0>), tensor{false, true, true}));
  BOOST_TEST(same(any(t > 4, axes<1>), tensor{true, true}));
  BOOST_TEST(same(sum(max(t, axes<0>, keepdims) + t, axes<1>), tensor{24, 27}));
  using matrix = tensor<int, 2>;
  static_assert(has_axes<matrix, 1> && has_axes<matrix, -2> && has_axes<matrix, -1, 0>);
  static_assert(!has_axes<matrix, 2> && !has_axes<matrix, -3> && !has_axes<tensor<int, 0>, 0>);
  static_assert(!has_axes<matrix, 0, 0> && !has_axes<matrix, 1, -1>);
}

BOOST_AUTO_TEST_CASE(any_strides) {
  const std::array<std::array<int, 3>, 6> orders{{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}}};
  auto elements = zeros<double>({8, 7, 5});
  int next = 0;
  for (double& x : elements) x = (next++ * 7919) % 1009;  // each once, in disorder
  for (const auto& order : orders) {
    const auto v = permute(elements, {order[0], order[1], order[2]});
    check_against_loops(v);
    check_against_loops(v[range{1, all, 2}, all, range{all, all, -1}]);
    check_against_loops(v[range{0, 1}, all, all]);
    check_against_loops(v[all, range{2, 3}, all]);
    check_against_loops(expand(v[all, range{0, 1}, all], std::array<std::size_t, 3>{v.shape()[0], 6, v.shape()[2]}));
  }
  const auto floats = evaluate(cast<float>(elements));
  check_against_loops(floats.view());
  const auto integers = evaluate(cast<int>(elements));
  check_against_loops(transpose(integers));
}

BOOST_AUTO_TEST_CASE(long_and_wide) {
  for (const std::size_t rows : {1u, 33u, 700u})
    for (const std::size_t columns : {1u, 513u, 1025u}) {
      const auto t = reshape(arange<int>(static_cast<int>(rows * columns)), {rows, columns});
      const auto down = evaluate(sum(t + 0, axes<0>)), along = evaluate(sum(t + 0, axes<1>));
      bool right = true;
      for (std::size_t j = 0; j < columns; ++j)
        right = right && down[j] == static_cast<int>(rows * j + columns * (rows * (rows - 1) / 2));
      for (std::size_t i = 0; i < rows; ++i)
        right = right && along[i] == static_cast<int>(i * columns * columns + columns * (columns - 1) / 2);
      BOOST_TEST(right);
      BOOST_TEST(same(sum(evaluate(cast<float>(t > 3)), axes<0>), cast<float>(sum(t > 3, axes<0>))));
      BOOST_TEST(argmax(t) == rows * columns - 1);
    }
}

// Rows that are computed several at a time, of every length up to where they are not: against one element at a time.
BOOST_AUTO_TEST_CASE(several_rows_at_a_time) {
  for (const std::size_t rows : {1u, 3u, 5u, 16u, 17u, 40u, 130u, 600u})
    for (const std::size_t columns : {1u, 2u, 4u, 7u, 8u, 15u, 16u, 33u, 64u, 100u, 129u, 256u, 257u, 513u}) {
      auto elements = zeros<float>({rows, columns});
      int next = 0;
      for (float& x : elements) x = static_cast<float>(next++ % 1009 * 7919 % 1009 - 500);  // sums are exact
      const auto whole = elements[all, all];
      auto narrow = zeros<float>({rows, columns + 5});
      auto part = narrow[all, range{3, columns + 3}];
      part = elements;
      auto turned = zeros<float>({columns, rows});
      transpose(turned) = elements;
      const auto row = reshape(arange<float>(static_cast<float>(columns)), {1u, columns});
      const auto column = reshape(arange<float>(static_cast<float>(rows)), {rows, 1u});
      const auto check = [&](const auto& reduced) {
        const auto one_by_one = reduced.to_nested();
        BOOST_TEST((evaluate(reduced).to_nested() == one_by_one), rows << " x " << columns);
        BOOST_TEST((evaluate(parallel, reduced).to_nested() == one_by_one), rows << " x " << columns << " in parallel");
        auto apart = zeros<double>({2u, reduced.shape()[0]});
        transpose(apart)[all, 1] = reduced;
        BOOST_TEST(same(apart[1], cast<double>(evaluate(reduced))), rows << " x " << columns << " into a part");
      };
      const auto check_along = [&]<int Axis>(axes_t<Axis> axis, const auto& e) {
        check(sum(e, axis));
        check(max(e, axis));
        check(min(e, axis));
        check(mean(e, axis));
      };
      const auto check_all = [&](const auto& e) {
        check_along(axes<0>, e);
        check_along(axes<1>, e);
      };
      check_all(whole);
      check_all(part);
      check_all(transpose(turned));
      check_all(whole * 2.0f);
      check_all(whole + part);
      check_all(whole - row);
      check_all(column - transpose(turned));
      check_all(exp(whole * 0.0f) + column);
      check_all(exp(whole * 0.0f) + whole);
      check(max(exp(part * 0.01f - row), axes<1>));
      check(min(exp(part * 0.01f - row), axes<0>));
      check(sum(cast<int>(part) * 3, axes<1>));
      check(sum(cast<int>(part) * 3, axes<0>));
      check(max(cast<std::int8_t>(whole), axes<1>));
      check(sum(part > 3.0f, axes<1>));
      check(any(part > 498.0f, axes<1>));
      check(any(whole > 498.0f, axes<0>));
      BOOST_TEST(max(whole) == max(part * 1.0f));
      BOOST_TEST(sum(whole * 1.0f) == sum(part));
    }
}

// Rows with gaps between them, brought together before they are reduced: against one element at a time.
BOOST_AUTO_TEST_CASE(short_rows_with_gaps) {
  for (const std::size_t rows : {1u, 3u, 40u})
    for (const std::size_t columns : {1u, 2u, 5u, 8u, 62u, 128u, 129u, 300u}) {
      tensor<float, 3> wide({rows, 3u, columns + 5});
      int next = 0;
      for (float& x : wide) x = static_cast<float>(next++ % 1009 * 7919 % 1009 - 500);  // sums are exact
      tensor<float, 3> wider({rows, 3u, 2 * columns});
      const auto part = wide[all, all, range{2, columns + 2}], every_other = wider[all, all, range{all, all, 2}];
      every_other = part;
      const auto check = [&](const auto& e) {
        const auto same_as_elements = [&](const auto& reduced) {
          BOOST_TEST((evaluate(reduced).to_nested() == reduced.to_nested()), rows << " x 3 x " << columns);
        };
        same_as_elements(sum(e, axes<0, 2>));
        same_as_elements(mean(e, axes<0, 2>));
        same_as_elements(max(e, axes<0, 2>));
        same_as_elements(argmin(e, axes<0, 2>));
        float total = 0, most = -1e9f;
        std::size_t place = 0, where_most = 0;
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t j = 0; j < 3; ++j)
            for (std::size_t k = 0; k < columns; ++k, ++place) {
              const float x = e[i, j, k];
              total += x;
              if (x > most) {
                most = x;
                where_most = place;
              }
            }
        BOOST_TEST(sum(e) == total);
        BOOST_TEST(max(e) == most);
        BOOST_TEST(argmax(e) == where_most);
        BOOST_TEST(any(e == most));
        BOOST_TEST(!any(e > most));
      };
      check(part);
      check(every_other);
      check(part * 2.0f);
      check(part + every_other);
      check(part - wide[range{0, 1}, all, range{0, 1}]);
    }
}

BOOST_AUTO_TEST_CASE(rounding_errors_stay_small) {
  // 0.1 is not a float: added one after the other, a million of them are off by about 1000
  const auto t = full<float>({1'000'000}, 0.1f);
  const double exact = 1e6 * static_cast<double>(0.1f);
  BOOST_TEST(std::abs(static_cast<double>(sum(t)) - exact) < 0.02);
  BOOST_TEST(std::abs(static_cast<double>(sum(t + 0.0f)) - exact) < 0.02);
  const auto matrix = reshape(t, {100'000, 10});
  const auto columns = evaluate(sum(matrix, axes<0>)), computed = evaluate(sum(matrix * 1.0f, axes<0>));
  for (std::size_t j = 0; j < 10; ++j) {
    BOOST_TEST(std::abs(static_cast<double>(columns[j]) - exact / 10) < 0.005);
    BOOST_TEST(std::abs(static_cast<double>(computed[j]) - exact / 10) < 0.005);
  }
  BOOST_TEST(std::abs(static_cast<double>(mean(t)) - static_cast<double>(0.1f)) < 2e-8);
}

BOOST_AUTO_TEST_CASE(not_a_number_is_in_everything) {
  for (const std::size_t n : {1u, 3u, 100u, 1000u})
    for (std::size_t at = 0; at < n; at += n / 3 + 1) {
      auto t = arange<float>(static_cast<float>(n));
      t[at] = nan_f;
      BOOST_TEST((std::isnan(sum(t)) && std::isnan(max(t)) && std::isnan(min(t)) && std::isnan(mean(t))));
      BOOST_TEST(argmax(t) == at);
      BOOST_TEST(argmin(t) == at);
      const auto rows = reshape(t, {n, 1});
      BOOST_TEST(std::isnan((evaluate(max(rows, axes<0>))[0])));
      BOOST_TEST((evaluate(argmax(rows, axes<0>))[0]) == at);
      BOOST_TEST(same(max(rows, axes<1>) == max(rows, axes<1>), t == t));
    }
}

template <class T>
void check_all_places() {
  std::mt19937 random{7};
  for (const std::size_t columns : {1u, 2u, 7u, 8u, 9u, 16u, 33u, 70u, 1200u, 2500u})
    for (const std::size_t rows : {1u, 2u, 9u, 15u, 16u, 17u, 40u, 700u}) {
      if (rows * columns > 100'000) continue;
      tensor<T, 3> t({columns > 100 ? 1u : 3u, rows, columns});
      for (T& x : t) {
        x = static_cast<T>(random() % 100);
        if constexpr (std::is_floating_point_v<T>)
          if (random() % 500 == 0) x = std::numeric_limits<T>::quiet_NaN();
      }
      check_places(t);
    }
}
BOOST_AUTO_TEST_CASE(places_by_rows_and_by_columns) {
  check_all_places<float>();
  check_all_places<double>();
  check_all_places<int>();
  check_all_places<std::uint8_t>();
}

// As pixels have: few columns, which are combined several rows at a time.
template <class T>
void check_narrow_columns() {
  for (std::size_t columns = 1; columns <= 20; ++columns)
    for (const std::size_t rows : {1u, 5u, 31u, 64u, 100u, 257u, 3000u}) {
      tensor<T, 2> t({rows, columns});
      tensor<long long, 1> sums = zeros<long long>({columns}), most = zeros<long long>({columns});
      std::uint32_t next = 1;
      for (std::size_t i = 0; i < rows; ++i)
        for (std::size_t k = 0; k < columns; ++k) {
          next = next * 1664525 + 1013904223;
          t[i, k] = static_cast<T>(next >> 26);
          sums[k] += t[i, k] == t[i, k] ? static_cast<long long>(t[i, k]) : 0;
          most[k] = std::max(most[k], static_cast<long long>(t[i, k]));
        }
      BOOST_TEST_CONTEXT(rows << " x " << columns) {
        BOOST_TEST(same(sum(t, axes<0>), cast<T>(sums)));
        BOOST_TEST(same(sum(cast<long long>(t), axes<0>), sums));
        BOOST_TEST(same(mean(cast<double>(t), axes<0>), cast<double>(sums) / static_cast<double>(rows)));
        BOOST_TEST(same(max(t, axes<0>), cast<T>(most)));
        BOOST_TEST(same(cast<long long>(max(t + T{0}, axes<0>)), most));
      }
    }
}
BOOST_AUTO_TEST_CASE(narrow_columns) {
  check_narrow_columns<float>();
  check_narrow_columns<double>();
  check_narrow_columns<int>();
  check_narrow_columns<std::uint8_t>();
}

BOOST_AUTO_TEST_CASE(the_first_maximum_and_minimum) {
  BOOST_TEST(argmax(tensor{3, 7, 7, 1}) == 1u);
  BOOST_TEST(argmax(zeros<int>({10'000})) == 0u);
  BOOST_TEST(argmax(tensor{-0.0f, 0.0f}) == 0u);
  BOOST_TEST(argmax(tensor{false, true, true}) == 1u);
  BOOST_TEST(argmin(tensor{7, 3, 3, 9}) == 1u);
  BOOST_TEST(argmin(ones<int>({10'000})) == 0u);
  BOOST_TEST(argmin(tensor{0.0f, -0.0f}) == 0u);
  BOOST_TEST(argmin(tensor{true, false, false}) == 1u);
  BOOST_TEST(same(argmax(tensor{{{1, 9}, {9, 2}}, {{5, 5}, {5, 5}}}, axes<1, 2>), tensor<std::size_t, 1>{1, 0}));
}

BOOST_AUTO_TEST_CASE(of_nothing) {
  const auto none = zeros<float>({0});
  const auto rows = zeros<float>({3, 0});
  BOOST_TEST(sum(none) == 0.0f);
  BOOST_TEST(std::isnan(mean(none)));
  BOOST_TEST(all(none == 1.0f));
  BOOST_TEST(!any(none == 1.0f));
  BOOST_CHECK_THROW(((void)max(none)), std::invalid_argument);
  BOOST_CHECK_THROW(((void)min(none)), std::invalid_argument);
  BOOST_CHECK_THROW(((void)argmax(none)), std::invalid_argument);
  BOOST_CHECK_THROW(((void)argmin(none)), std::invalid_argument);
  BOOST_CHECK_THROW(((void)max(rows, axes<1>)), std::invalid_argument);
  BOOST_TEST(same(max(rows, axes<0>), none));
  BOOST_TEST(same(sum(rows, axes<1>, keepdims), zeros<float>({3, 1})));
  BOOST_TEST(same(all(rows > 0.0f, axes<1>), tensor{true, true, true}));
  BOOST_TEST(std::isnan((mean(rows, axes<1>)[2])));
  auto target = ones<float>({2, 3});
  target[0, all] = sum(rows, axes<1>);
  target[1, all] = mean(rows, axes<1>);
  BOOST_TEST(same(target[0, all], zeros<float>({3})));
  BOOST_TEST(std::isnan((target[1, 2])));
}

// The results before, in and behind the elements that they are made of.
BOOST_AUTO_TEST_CASE(results_at_each_distance_in_memory) {
  const auto check = [](auto write) {
    for (std::ptrdiff_t at = 0; at + 4 <= 40; ++at) {
      auto memory = arange<float>(40);
      const tensor_view<float, 2> elements(memory.data() + 12, {4, 4});
      const auto source = elements.copy();
      auto results = zeros<float>({4});
      write(results[all], source[all, all]);
      auto expected = memory.copy();
      expected[range{at, at + 4}] = results;
      write(tensor_view<float, 1>(memory.data() + at, {4}), elements);
      BOOST_TEST_CONTEXT("at " << at) { BOOST_TEST(same(memory, expected)); }
    }
  };
  check([](const auto& to, const auto& from) { to = sum(from, axes<0>); });
  check([](const auto& to, const auto& from) { to = sum(from, axes<1>); });
  check([](const auto& to, const auto& from) { to = mean(from, axes<0>); });
  check([](const auto& to, const auto& from) { to = max(from, axes<1>); });
  check([](const auto& to, const auto& from) { to = sum(from * 2.0f, axes<0>); });
  check([](const auto& to, const auto& from) { to = sum(from + from, axes<1>); });
}

// Few are computed all at once, on the stack: of neighbours, and of others, into neighbours, and into others.
template <class T>
void reduce_computed_elements() {
  for (const std::size_t columns : {1uz, 3uz, 8uz, 100uz, 170uz, 171uz, 600uz}) {
    tensor<T, 2> wide({3, 2 * columns});
    for (T& each : wide) each = static_cast<T>((&each - wide.data()) * 7 % 61);
    const auto part = wide[all, range{0, 2 * columns, 2}];
    const tensor<T, 2> whole = part;
    const auto check = [&](auto from, const tensor<T, 2>& computed) {
      const auto check_with = [&](auto reduce) {
        const auto rows = evaluate(reduce(computed, axes<1>)), of_columns = evaluate(reduce(computed, axes<0>));
        auto into_rows = rows.copy();
        auto into_columns = of_columns.copy();
        auto places = zeros<T>({6});
        into_rows[all] = 0;
        into_columns[all] = 0;
        into_rows = reduce(from(), axes<1>);
        BOOST_TEST(same(into_rows, rows), columns << " columns");
        into_columns = reduce(from(), axes<0>);
        BOOST_TEST(same(into_columns, of_columns), columns << " columns");
        BOOST_TEST(same(evaluate(reduce(from(), axes<1>)), rows), columns << " columns");
        BOOST_TEST(same(evaluate(reduce(from(), axes<0>)), of_columns), columns << " columns");
        auto every_other = places[range{0, 6, 2}];
        every_other = reduce(from(), axes<1>);
        for (std::size_t r = 0; r < 3; ++r) BOOST_TEST((every_other[r] == static_cast<T>(rows[r])));
      };
      check_with([](const auto& x, auto over) { return sum(x, over); });
      check_with([](const auto& x, auto over) { return mean(x, over); });
      check_with([](const auto& x, auto over) { return max(x, over); });
      check_with([](const auto& x, auto over) { return min(x, over); });
    };
    const T two{2};
    check([&] { return whole * two + whole; }, whole * two + whole);
    check([&] { return part * two + whole; }, whole * two + whole);
    check([&] { return part * two + part[range{all, all, -1}]; }, whole * two + whole[range{all, all, -1}]);
  }
}
BOOST_AUTO_TEST_CASE(of_computed_elements) {
  reduce_computed_elements<float>();
  reduce_computed_elements<double>();
  reduce_computed_elements<int>();
}

BOOST_AUTO_TEST_CASE(of_nothing_into_nothing) {
  const auto flat = zeros<float>({0, 3}), thin = zeros<float>({3, 0});
  tensor<float, 1> t;
  t = sum(flat, axes<1>);
  BOOST_TEST(t.numel() == 0u);
  t = max(flat, axes<1>);
  BOOST_TEST(t.numel() == 0u);
  t = sum(thin + 1.0f, axes<0>);
  BOOST_TEST(t.numel() == 0u);
  tensor<int, 1> integers;
  const auto v = zeros<int>({4, 4});
  integers = sum(v[all, range{0, 0}], axes<0>);
  BOOST_TEST(integers.numel() == 0u);
  auto places = zeros<std::size_t>({0});
  places = argmax(flat, axes<1>);
  BOOST_TEST(places.numel() == 0u);
  auto into = zeros<int>({3});
  into[all] = mean(thin, axes<1>);  // not-a-number as an integer
  BOOST_TEST(same(into, evaluate(cast<int>(mean(thin, axes<1>)))));
}

BOOST_AUTO_TEST_CASE(into_parts_of_tensors) {
  test_resource r;
  auto t = reshape(arange<float>(0, 12, 1, &r), {3, 4});
  auto target = zeros<float>({2, 3, 4}, &r);
  const std::size_t before = r.allocations();
  target[0, all, 1] = sum(t, axes<1>);
  target[1, 2] = max(t, axes<0>);
  target[1, all, range{all, all, -1}] = mean(t, axes<0>, keepdims) * 0.0f + t;
  BOOST_TEST(r.allocations() == before + 1);  // the means, inside of an expression
  BOOST_TEST(same(target[0, all, 1], tensor{6.0f, 22.0f, 38.0f}));
  BOOST_TEST((target[1, 2, 0]) == 11.0f);
  target[all, all, all] = sum(t, axes<0>);  // repeated
  BOOST_TEST(same(target[1, 2], tensor{12.0f, 15.0f, 18.0f, 21.0f}));
  t[all, 0] = sum(t, axes<1>);  // of what is overwritten
  BOOST_TEST(same(t[all, 0], tensor{6.0f, 22.0f, 38.0f}));
}

BOOST_AUTO_TEST_CASE(of_what_is_computed_first) {
  const tensor<float, 2> f{{1, 2}, {3, 5}};
  BOOST_TEST(sum(sum(f, axes<0>)) == 11.0f);
  BOOST_TEST(sum(max(f, axes<0>)) == 8.0f);
  BOOST_TEST(max(sum(f, axes<0>)) == 7.0f);
  BOOST_TEST(mean(mean(f, axes<0>)) == 2.75f);
  BOOST_TEST(evaluate(sum(sum(f, axes<0>), axes<0>))[] == 11.0f);
  BOOST_TEST(same(evaluate(sum(max(f, axes<0>, keepdims), axes<0>)), tensor{3.0f, 5.0f}));
  BOOST_TEST(sum(concatenate<0>(f, f)) == 22.0f);
  BOOST_TEST(same(evaluate(sum(concatenate<0>(f, f), axes<0>)), tensor{8.0f, 14.0f}));
  BOOST_TEST(same(evaluate(mean(tril(f), axes<0>)), tensor{2.0f, 2.5f}));
  BOOST_TEST(same(evaluate(argmax(tril(f), axes<1>)), tensor<std::size_t, 1>{0, 1}));
  BOOST_TEST(any(concatenate<1>(f, f) > 4.0f));
  BOOST_TEST(sum(sum(tensor{{1, 2}, {3, 5}}, axes<1>)) == 11);
  BOOST_TEST(same(evaluate(parallel, sum(zeros<float>({0, 3}), axes<1>)), zeros<float>({0})));
}

// What has no dimensions left is a number wherever one is asked for.
BOOST_AUTO_TEST_CASE(of_one_dimension_as_numbers) {
  const tensor<float, 1> t{1.5f, 4, 2};
  const double total = sum(t, axes<0>);
  BOOST_TEST(total == 7.5);
  const auto place = static_cast<long>(argmax(t, axes<0>));
  BOOST_TEST(place == 1);
  std::vector<double> numbers;
  numbers.push_back(mean(t, axes<0>));
  numbers.push_back(max(t, axes<0>) * 2 + sum(t, axes<0>));
  BOOST_TEST(numbers[0] == 2.5);
  BOOST_TEST(numbers[1] == 15.5);
  double assigned = 0;
  assigned = min(t, axes<0>);
  BOOST_TEST(assigned == 1.5);
  BOOST_TEST(static_cast<int>(sum(t, axes<0>)) == 7);
  const double turned = transpose(max(t, axes<0>) + 0.0f);
  BOOST_TEST(turned == 4);
  const bool is_large = sum(t, axes<0>) > 7;
  BOOST_TEST(is_large);
  if (any(t > 3, axes<0>)) numbers.clear();
  BOOST_TEST(numbers.empty());
  const auto large = ones<float>({1'000'003});
  const double many = sum(large, axes<0>);
  BOOST_TEST(many == 1'000'003);
}

BOOST_AUTO_TEST_SUITE_END()
