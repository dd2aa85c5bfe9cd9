// t[...]: elements, slices, and assignments to them.
#include <algorithm>
#include <array>
#include <boost/mpl/list.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <memory_resource>
#include <numeric>
#include <random>
#include <ranges>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

BOOST_AUTO_TEST_SUITE(slices)

BOOST_AUTO_TEST_CASE(elements) {
  tensor t{{1, 2, 3}, {4, 5, 6}};
  BOOST_TEST((t[0, 1]) == 2);
  BOOST_TEST((t[-1, -3]) == 4);
  BOOST_TEST((t[std::size_t{1}, short{2}]) == 6);
  t[-1, 0] = 40;
  BOOST_TEST((t[1, 0]) == 40);
  const auto& constant = t;
  static_assert(std::is_same_v<decltype((constant[0, 0])), const int&>);
  static_assert(std::is_same_v<decltype((tensor<int, 1>()[0])), int>);
  BOOST_TEST(t.at(1, 2) == 6);
  BOOST_TEST(t.at(-2, -1) == 3);
  BOOST_CHECK_THROW(((void)((t.at(2, 0)))), std::out_of_range);
  BOOST_CHECK_THROW(((void)((t.at(0, 3)))), std::out_of_range);
  BOOST_CHECK_THROW(((void)((t.at(-3, 0)))), std::out_of_range);
  BOOST_CHECK_THROW(((void)((t.at(0, std::numeric_limits<std::size_t>::max())))), std::out_of_range);
  BOOST_CHECK_THROW(((void)((t[all, range{0, 2}].at(0, 2)))), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(an_integer_takes_its_dimension_away) {
  tensor t{{1, 2, 3}, {4, 5, 6}};
  static_assert(decltype(t[-1, all])::rank == 1 && decltype(t[all, all])::rank == 2 && decltype(t[0])::rank == 1);
  BOOST_TEST(same(t[-1, all], tensor{4, 5, 6}));
  BOOST_TEST(same(t[all, 1], tensor{2, 5}));
  BOOST_TEST(same(t[1], tensor{4, 5, 6}));
  BOOST_TEST((t[1][2]) == 6);
  BOOST_TEST((t[all, 1].offset() == 1));
  BOOST_TEST((t[all, 1].strides() == std::array<std::ptrdiff_t, 1>{3}));
  BOOST_TEST((t[1, range{1, 3}].offset() == 4));
  BOOST_TEST((t[1, range{1, 3}][range{1, 2}].data() == &t[1, 2]));
  BOOST_CHECK_THROW(((void)((t[2, all]))), std::out_of_range);
  BOOST_CHECK_THROW(((void)((t[all, -4]))), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(steps_beyond_all_elements) {
  tensor t{1, 2, 3};
  constexpr auto least = std::numeric_limits<std::ptrdiff_t>::min();
  BOOST_TEST(same(t[range{1, all, SIZE_MAX}], tensor{2}));
  BOOST_TEST(same(t[range{1, all, least}], tensor{2}));
  const tensor from{7};
  t[range{1, all, least}] = from[all] + t[range{2, all, least}];
  BOOST_TEST(same(t, tensor{1, 10, 3}));
}

template <class T>
void with_steps() {
  auto t = zeros<T>({4, 6});
  const auto from = reshape(arange<T>(0, 24), {4, 6});
  t[all, range{0, 6, 2}] = from[all, range{5, all, -2}] + from[all, range{0, 6, 2}];  // from places with steps to such
  t[all, 1] = from[all, 3];
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t j = 0; j < 3; ++j) BOOST_TEST((t[i, 2 * j]) == (from[i, 5 - 2 * j]) + (from[i, 2 * j]));
    BOOST_TEST((t[i, 1]) == (from[i, 3]));
    BOOST_TEST((t[i, 3]) == T{});
  }
}
BOOST_AUTO_TEST_CASE(elements_of_every_size_with_steps) {
  with_steps<std::int8_t>();
  with_steps<std::uint16_t>();
  with_steps<std::int32_t>();
  with_steps<float>();
  with_steps<std::int64_t>();
  with_steps<double>();
}

BOOST_AUTO_TEST_CASE(ranges_are_those_of_python) {
  // every first, last and step against the rule itself
  for (int n = 0; n <= 5; ++n) {
    const auto t = arange<int>(n);
    for (int first = -7; first <= 7; ++first)
      for (int last = -7; last <= 7; ++last)
        for (const int step : {-3, -2, -1, 1, 2, 3}) {
          std::vector<int> expected;
          int i = first < 0 ? first + n : first, end = last < 0 ? last + n : last;
          if (step > 0)
            for (i = i < 0 ? 0 : i; i < n && i < end; i += step) expected.push_back(i);
          else
            for (i = i >= n ? n - 1 : i; i >= 0 && i > end; i += step) expected.push_back(i);
          const auto part = t[range{first, last, step}];
          if (part.to_nested() != expected) BOOST_ERROR("n " << n << ": " << first << " " << last << " " << step);
        }
  }
  const auto t = arange<int>(10);
  BOOST_TEST(same(t[range{5, 0, -2}], tensor{5, 3, 1}));
  BOOST_TEST(same(t[range{7, all}], tensor{7, 8, 9}));
  BOOST_TEST(same(t[range{all, 2}], tensor{0, 1}));
  BOOST_TEST(same(t[range{all, all, -4}], tensor{9, 5, 1}));
  BOOST_TEST(same(t[range{.step = 5}], tensor{0, 5}));
  constexpr std::ptrdiff_t most = std::numeric_limits<std::ptrdiff_t>::max();
  constexpr std::ptrdiff_t least = std::numeric_limits<std::ptrdiff_t>::min();
  BOOST_TEST(same(t[range{3, most, most}], tensor{3}));
  BOOST_TEST(same(t[range{3, least, least}], tensor{3}));
  BOOST_CHECK_THROW(((void)((t[range{0, 5, 0}]))), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(views_of_views_of_views) {
  const auto t = reshape(arange<int>(24), {2, 3, 4});
  const auto back = t[all, range{all, all, -1}, range{all, all, -1}];
  BOOST_TEST((back[1, 0, 0]) == 23);
  BOOST_TEST(same(back[0, range{0, 2}, range{0, 4, 3}], tensor{{11, 8}, {7, 4}}));
  BOOST_TEST(same(transpose(back[0, all, range{0, 2}]), tensor{{11, 7, 3}, {10, 6, 2}}));
  BOOST_TEST(!back.is_contiguous());
  BOOST_TEST((back[range{0, 1}, range{1, 2}, range{2, 3}].is_contiguous()));  // one element
  std::vector<int> in_order(back.begin(), back.end());
  BOOST_TEST(in_order.size() == 24u);
  BOOST_TEST(in_order[0] == 11);
  BOOST_TEST(in_order[23] == 12);
  BOOST_TEST(in_order[4] == 7);
}

BOOST_AUTO_TEST_CASE(assignment_writes_through) {
  tensor t{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  t[range{1, 3}, 1] = tensor{50, 80};
  BOOST_TEST(same(t, tensor{{1, 2, 3}, {4, 50, 6}, {7, 80, 9}}));
  t[0, all] = 0;
  t[all, -1] += 1;
  BOOST_TEST(same(t, tensor{{0, 0, 1}, {4, 50, 7}, {7, 80, 10}}));
  t[all, all] = tensor{1, 2, 3};  // repeated
  BOOST_TEST(same(t, tensor{{1, 2, 3}, {1, 2, 3}, {1, 2, 3}}));
  t[all, range{0, 2}] = tensor{{10}, {20}, {30}};
  BOOST_TEST(same(t, tensor{{10, 10, 3}, {20, 20, 3}, {30, 30, 3}}));
  auto row = t[1, all];
  row = t[2, all];  // a view is assigned through, as a reference is
  BOOST_TEST((t[1, 0]) == 30);
  const auto column = t[all, 0];
  column = column * 2;
  BOOST_TEST((t[0, 0]) == 20);
  t[0] = sum(t, axes<0>);
  BOOST_TEST(same(t[0], tensor{140, 70, 9}));
  t[1] = 2.9;  // as static_cast has it
  BOOST_TEST(same(t[1], tensor{2, 2, 2}));
  const auto before = t.copy();
  BOOST_CHECK_THROW(((void)((t[0] = tensor{1, 2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)((t[all, range{0, 2}] = tensor{{1, 2}, {3, 4}}))), std::invalid_argument);
  BOOST_TEST(same(t, before));
  t[range{2, 1}, all] = 5;  // nothing
  BOOST_TEST(same(t, before));
}

BOOST_AUTO_TEST_CASE(the_message_names_both_shapes) {
  auto t = zeros<int>({2, 3});
  std::string what;
  try {
    t[all, all] = ones<int>({4, 1});
  } catch (const std::invalid_argument& error) {
    what = error.what();
  }
  BOOST_TEST(what == "buffers: assignment: shapes (4, 1) and (2, 3) do not broadcast");
  try {
    (void)(t + ones<int>({4, 1}));
  } catch (const std::invalid_argument& error) {
    what = error.what();
  }
  BOOST_TEST(what == "buffers: operands: shapes (2, 3) and (4, 1) do not broadcast");
}

BOOST_AUTO_TEST_CASE(overlapping_sides) {
  auto t = arange<int>(6);
  t[range{1, all}] = t[range{0, -1}];
  BOOST_TEST(same(t, tensor{0, 0, 1, 2, 3, 4}));
  t = arange<int>(6);
  t[range{0, -1}] = t[range{1, all}];
  BOOST_TEST(same(t, tensor{1, 2, 3, 4, 5, 5}));
  t = arange<int>(6);
  t[range{all, all, -1}] = t;
  BOOST_TEST(same(t, tensor{5, 4, 3, 2, 1, 0}));
  t = arange<int>(6);
  t[range{1, all}] += t[range{0, -1}];
  BOOST_TEST(same(t, tensor{0, 1, 3, 5, 7, 9}));
  t += t[range{all, all, -1}];
  BOOST_TEST(same(t, tensor{9, 8, 8, 8, 8, 9}));

  auto m = reshape(arange<int>(9), {3, 3});
  m = transpose(m);
  BOOST_TEST(same(m, tensor{{0, 3, 6}, {1, 4, 7}, {2, 5, 8}}));
  m[all, all] = transpose(m) + m;
  BOOST_TEST(same(m, tensor{{0, 4, 8}, {4, 8, 12}, {8, 12, 16}}));
  m = m[all, range{all, all, -1}] * 1;
  BOOST_TEST(same(m, tensor{{8, 4, 0}, {12, 8, 4}, {16, 12, 8}}));
  m[all, 0] = m[0, all];
  BOOST_TEST(same(m, tensor{{8, 4, 0}, {4, 8, 4}, {0, 12, 8}}));
  m = m - max(m, axes<1>, keepdims);
  BOOST_TEST(same(m, tensor{{0, -4, -8}, {-4, 0, -4}, {-12, 0, -4}}));
  m = concatenate<0>(m[range{1, 3}], m[range{0, 1}]);
  BOOST_TEST(same(m, tensor{{-4, 0, -4}, {-12, 0, -4}, {0, -4, -8}}));
  m = tril(transpose(m));
  BOOST_TEST(same(m, tensor{{-4, 0, 0}, {0, 0, 0}, {-4, -4, -8}}));
}

BOOST_AUTO_TEST_CASE(random_overlaps_against_copies) {
  std::mt19937 random{7};
  const auto pick = [&](int from, int to) { return std::uniform_int_distribution<int>(from, to)(random); };
  for (int round = 0; round < 3000; ++round) {
    const int n = pick(1, 12), m = pick(1, 12);
    auto t = reshape(arange<int>(n * m), {n, m});
    const auto make = [&](int extent, int count) {
      const int step = pick(1, (extent - 1) / (count > 1 ? count - 1 : 1) + (count == 1 ? 1 : 0));
      const int first = pick(0, extent - 1 - (count - 1) * step);
      if (pick(0, 1) == 0) return range{first, first + (count - 1) * step + 1, step};
      const int last = first + (count - 1) * step;
      return first == 0 ? range{last, all, -step} : range{last, first - 1, -step};
    };
    const int rows = pick(1, n), columns = pick(1, m);
    const range to_rows = make(n, rows), to_columns = make(m, columns), from_rows = make(n, rows),
                from_columns = make(m, columns);
    auto expected = t.copy();
    const auto source = t.copy();
    const bool add = pick(0, 1) == 1;
    if (add) {
      t[to_rows, to_columns] = t[to_rows, to_columns] + t[from_rows, from_columns];
      expected[to_rows, to_columns] = source[to_rows, to_columns] + source[from_rows, from_columns];
    } else {
      t[to_rows, to_columns] = t[from_rows, from_columns];
      expected[to_rows, to_columns] = source[from_rows, from_columns];
    }
    if (!same(t, expected)) BOOST_ERROR("round " << round);
  }
}

// Arrays without gaps at every distance of each other in memory, of elements of the same size and of others.
using sizes = boost::mpl::list<std::pair<int, int>, std::pair<int, signed char>, std::pair<signed char, int>>;
BOOST_AUTO_TEST_CASE_TEMPLATE(each_distance_in_memory, Types, sizes) {
  using to_type = typename Types::first_type;
  using from_type = typename Types::second_type;
  constexpr std::size_t n = 9, bytes = 160, first = 64;
  for (std::size_t at = 0; at + n * sizeof(from_type) <= bytes; at += sizeof(from_type)) {
    alignas(64) std::array<signed char, bytes> memory;
    for (std::size_t i = 0; i < bytes; ++i) memory[i] = static_cast<signed char>(i * 37 % 100);
    std::array<from_type, n> source;
    std::memcpy(source.data(), memory.data() + at, sizeof source);
    std::array<to_type, n> expected;
    for (std::size_t i = 0; i < n; ++i) expected[i] = static_cast<to_type>(source[i] + 1);
    auto untouched = memory;
    std::memcpy(untouched.data() + first, expected.data(), sizeof expected);

    const tensor_view<to_type, 1> to(reinterpret_cast<to_type*>(memory.data() + first), {n});
    const tensor_view<from_type, 1> from(reinterpret_cast<from_type*>(memory.data() + at), {n});
    to = from + from_type{1};
    BOOST_TEST_CONTEXT("from byte " << at) { BOOST_TEST(memory == untouched, boost::test_tools::per_element()); }
  }
}

BOOST_AUTO_TEST_CASE(no_memory_where_none_is_needed) {
  test_resource r;
  auto t = reshape(arange<float>(0, 64, 1, &r), {8, 8});
  const std::size_t before = r.allocations();
  t[range{1, all}] = t[range{0, -1}];            // neighbours: moved
  t[all, 0] = t[all, 1] * 2.0f;                  // beside each other
  t[range{0, 8, 2}] = t[range{1, 8, 2}] + 1.0f;  // interleaved
  t[range{0, 4}, range{0, 4}] = t[range{4, 8}, range{4, 8}] - 1.0f;
  t[range{0, 4}, range{0, 4}] = t[range{0, 4}, range{4, 8}] - 1.0f;
  t += t;  // the same elements
  t = t * t + t;
  BOOST_TEST(r.allocations() == before);
  t[range{1, all}] += t[range{0, -1}];  // shifted: the new values first
  BOOST_TEST(r.allocations() == before + 1);
}

BOOST_AUTO_TEST_CASE(a_step_as_large_as_there_are_numbers) {
  const auto t = reshape(arange<float>(0, 12), {3, 4});
  BOOST_TEST(same(t[range{1, all, PTRDIFF_MAX}], reshape(tensor{4.0f, 5.0f, 6.0f, 7.0f}, {1, 4})));
  BOOST_TEST(same(t[-1, range{2, all, PTRDIFF_MIN}], tensor{10.0f}));
}

BOOST_AUTO_TEST_CASE(nothing_in_any_rank) {
  const auto one = zeros<float>({0});
  const auto two = zeros<float>({3, 0});
  const auto three = zeros<float>({2, 0, 4});
  BOOST_TEST(same(one + 1.0f, one));
  BOOST_TEST(same(two * two, two));
  BOOST_TEST(same(three[all, all, range{1, 3}], zeros<float>({2, 0, 2})));
  BOOST_TEST(same(two[2], one));
  BOOST_TEST(same(three[all, all, 3], zeros<float>({2, 0})));
  BOOST_TEST(same(transpose(three), zeros<float>({4, 0, 2})));
  BOOST_TEST(same(reshape(two, {0, 7}), zeros<float>({0, 7})));
  BOOST_TEST(same(sum(two, axes<1>), tensor{0.0f, 0.0f, 0.0f}));
  BOOST_TEST(same(sum(three, axes<0>), zeros<float>({0, 4})));
  BOOST_TEST(sum(three) == 0.0f);
  BOOST_TEST(same(concatenate<1>(two, ones<float>({3, 1})), ones<float>({3, 1})));
  BOOST_TEST(same(tril(two), two));
  BOOST_TEST((two.begin() == two.end()));
  BOOST_TEST((two[all, all].begin() == two[all, all].end()));
  tensor<float, 2> assigned;
  assigned = two + 1.0f;
  BOOST_TEST(same(assigned, two));
}

BOOST_AUTO_TEST_CASE(copies_of_views) {
  test_resource memory;
  {
    const auto t = reshape(arange<int>(6), {2, 3});
    const auto column = t[all, range{0, 1}].copy();
    BOOST_TEST(same(column, tensor{{0}, {3}}));
    const tensor<int, 1> row = t[1, all].copy(&memory);
    BOOST_TEST(same(row, tensor{3, 4, 5}));
    BOOST_TEST(row.get_allocator().resource() == &memory);
  }
  BOOST_TEST(memory.is_clean());
}

BOOST_AUTO_TEST_CASE(views_of_one_element) {
  slab_resource scratch;
  const auto one = alloc<double>(scratch);
  const tensor_view v(one);
  v[] = 4;
  BOOST_TEST(one[] == 4);
}

BOOST_AUTO_TEST_CASE(rows_are_swapped) {
  auto t = reshape(arange<int>(6), {2, 3});
  swap(t[0, all], t[1, all]);
  BOOST_TEST(same(t, tensor{{3, 4, 5}, {0, 1, 2}}));
  auto first = t[all, 0], last = t[all, 2];
  using std::swap;
  swap(first, last);
  BOOST_TEST(same(t, tensor{{5, 4, 3}, {2, 1, 0}}));
  BOOST_CHECK_THROW(swap(first, t[0, all]), std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(no_mdspan_of_elements_with_several_indices) {
  float elements[9] = {};
  const tensor_view<float, 2> windows(elements, {3, 3}, {1, 1});
  BOOST_CHECK_THROW((void)windows.mdspan(), std::invalid_argument);
  BOOST_TEST((tensor_view<float, 2>(elements, {3, 3}, {3, 1}).mdspan()[2, 2]) == 0.0f);
}

// From each place to each other one, against the elements in row-major order.
BOOST_AUTO_TEST_CASE(iterators_go_anywhere) {
  tensor<int, 3> t({3, 4, 5});
  std::iota(t.begin(), t.end(), 0);
  const tensor_view<int, 3> part = permute(t, {2, 0, 1})[range{all, all, -2}, all, range{1, 4}];
  static_assert(std::random_access_iterator<decltype(part.begin())>);
  static_assert(std::ranges::borrowed_range<tensor_view<int, 3>>);
  std::vector<int> expected;
  for (int i : {4, 2, 0})
    for (int j : {0, 1, 2})
      for (int k : {1, 2, 3}) expected.push_back(t[j, k, i]);
  const auto count = std::ssize(expected);
  BOOST_TEST((part.end() - part.begin() == count));
  for (std::ptrdiff_t from = 0; from <= count; ++from)
    for (std::ptrdiff_t to = 0; to <= count; ++to) {
      auto at = part.begin() + from;
      at += to - from;
      BOOST_REQUIRE((at - part.begin() == to));
      BOOST_REQUIRE((at <=> part.begin() + from) == (to <=> from));
      if (to < count) BOOST_REQUIRE(*at == expected[static_cast<std::size_t>(to)]);
      if (to < count) BOOST_REQUIRE(part.begin()[to] == expected[static_cast<std::size_t>(to)]);
      if (to > 0 && to < count) BOOST_REQUIRE(*++(--at) == expected[static_cast<std::size_t>(to)]);
      if (to > 0) BOOST_REQUIRE(*--at == expected[static_cast<std::size_t>(to - 1)]);
    }
  std::ranges::sort(part, std::greater{});
  std::ranges::sort(expected, std::greater{});
  BOOST_TEST(std::ranges::equal(part, expected));
  tensor rows{{3, 1, 2}, {0, 0, 0}};
  std::ranges::sort(rows[0]);
  BOOST_TEST(same(rows, tensor{{1, 2, 3}, {0, 0, 0}}));
  const auto nothing = rows[range{0, 0}];
  BOOST_TEST((nothing.begin() + 0 == nothing.end()));
  const tensor<int, 0> one(7);
  BOOST_TEST((one.view().begin() + 1 == one.view().end()));
}

BOOST_AUTO_TEST_SUITE_END()
