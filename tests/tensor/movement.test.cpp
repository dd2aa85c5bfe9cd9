// reshape, expand, permute, transpose, concatenate, tril.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <exception>
#include <limits>
#include <mdspan>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "support/same.hpp"
import buffers;
import buffers.testing;

using namespace buffers;

namespace {

template <class T>
concept concatenates_with_a_matrix = requires(const T& t, const tensor<int, 2>& m) { concatenate<0>(m, t); };
template <int Axis>
concept concatenates_along = requires(const tensor<int, 2>& m) { concatenate<Axis>(m, m); };
template <class T>
concept has_triangle = requires(const T& t) { tril(t); };

template <class F>
std::string said_of(F f) {
  try {
    f();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "nothing";
}

}  // namespace

BOOST_AUTO_TEST_SUITE(movement)

BOOST_AUTO_TEST_CASE(reshape_is_a_view_where_strides_allow_it) {
  auto t = arange<int>(24);
  auto v = reshape(t, {2, -1});
  static_assert(std::is_same_v<decltype(v), tensor_view<int, 2>>);
  BOOST_TEST((v.shape() == std::array<std::size_t, 2>{2, 12}));
  v[1, 0] = 100;
  BOOST_TEST(t[12] == 100);
  t[12] = 12;
  BOOST_TEST((reshape(t, {2, 3, -1}).shape() == std::array<std::size_t, 3>{2, 3, 4}));
  BOOST_TEST((reshape(t, {std::size_t{4}, 6L}).strides() == std::array<std::ptrdiff_t, 2>{6, 1}));
  BOOST_TEST((reshape(t, std::array{4, -1}).strides() == std::array<std::ptrdiff_t, 2>{6, 1}));
  BOOST_TEST((reshape(t.copy(), std::array{-1L, 8L}).shape() == std::array<std::size_t, 2>{3, 8}));
  BOOST_TEST(same(reshape(v, v.shape()), v));
  const auto cube = reshape(t, {2, 3, 4});
  // without gaps within what is merged or split
  BOOST_TEST(same(reshape(cube[all, range{0, 2}, all], {2, 8}),
                  tensor{{0, 1, 2, 3, 4, 5, 6, 7}, {12, 13, 14, 15, 16, 17, 18, 19}}));
  BOOST_TEST(same(reshape(cube[all, all, range{0, 4, 2}], {6, 2, 1}), reshape(arange<int>(0, 24, 2), {6, 2, 1})));
  BOOST_TEST(same(reshape(t[range{all, all, -1}], {4, 6})[0], tensor{23, 22, 21, 20, 19, 18}));
  BOOST_TEST(
      same(reshape(expand(tensor_view(t)[range{3, 4}], std::array<std::size_t, 1>{6}), {2, 3}), full<int>({2, 3}, 3)));
  BOOST_TEST(same(reshape(permute(cube, {1, 0, 2}), {3, 2, 2, 2})[2, 1], tensor{{20, 21}, {22, 23}}));
  BOOST_CHECK_THROW(((void)(reshape(transpose(cube), {24}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(cube[all, range{0, 2}, all], {4, 4, 1, 1, 1})[all, all, 0, 0, 0])),
                    std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(cube[all, all, range{0, 3}], {18}))), std::invalid_argument);
  const auto turned = reshape(evaluate(transpose(cube)), {24});
  BOOST_TEST((same(turned[range{0, 3}], tensor{0, 12, 4})));
}

BOOST_AUTO_TEST_CASE(reshape_of_other_numbers) {
  auto t = arange<int>(12);
  BOOST_CHECK_THROW(((void)(reshape(t, {5, 2}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, {5, -1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, {-1, -1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, {-2, 6}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, std::array{-2, 6}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, {0, -1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(reshape(t, {}))), std::invalid_argument);
  auto one = full<int>({1, 1}, 5);
  BOOST_TEST(reshape(one, {})[] == 5);
  auto scalar = full<int>({}, 6);
  BOOST_TEST((reshape(scalar, {1, 1})[0, 0]) == 6);
  BOOST_TEST((reshape(zeros<int>({0, 3}), {2, 0}).shape() == std::array<std::size_t, 2>{2, 0}));
}

// Their product would be more than there are numbers.
BOOST_AUTO_TEST_CASE(shapes_of_no_elements_may_be_huge) {
  constexpr std::size_t huge = std::size_t{1} << 40;
  const auto t = zeros<int>({0, 1});
  const auto v = reshape(t, {std::size_t{0}, huge, huge});
  BOOST_TEST((v.shape() == std::array<std::size_t, 3>{0, huge, huge}));
  BOOST_TEST((v.strides() == row_major(v.shape())));
  BOOST_TEST((reshape(t, {huge, huge, std::size_t{0}}).shape() == std::array<std::size_t, 3>{huge, huge, 0}));
  BOOST_TEST((reshape(t, {std::size_t{0}, huge, huge, std::size_t{1}}).numel() == 0u));
  // ... also for a std::mdspan, whose strides are above 0
  const auto span = reshape(t, {std::size_t{0}, huge, std::size_t{8}}).mdspan();
  BOOST_TEST(span.extent(1) == huge);
  BOOST_TEST(span.stride(0) == 8 * huge);
  BOOST_TEST(v.mdspan().extent(2) == huge);
}

BOOST_AUTO_TEST_CASE(messages_say_what_was_asked_for) {
  auto t = zeros<int>({2, 3});
  auto line = zeros<int>({3});
  BOOST_TEST(said_of([&] { (void)transpose(t, 0, 2); }) ==
             "buffers: transpose: axis 2 is out of range for an array of 2 dimensions");
  BOOST_TEST(said_of([&] { (void)transpose(line, -2, 0); }) ==
             "buffers: transpose: axis -2 is out of range for an array of 1 dimension");
  BOOST_TEST(said_of([&] { (void)permute(t, {0, 2}); }) ==
             "buffers: permute: the order (0, 2) does not name every dimension once");
  BOOST_TEST(said_of([&] { (void)permute(t + 1, {-1, 1}); }) ==
             "buffers: permute: the order (-1, 1) does not name every dimension once");
  BOOST_TEST(said_of([&] { (void)reshape(t, {4, -1}); }) ==
             "buffers: reshape: the 6 elements of shape (2, 3) cannot be divided into shape (4, -1)");
  BOOST_TEST(said_of([&] { (void)reshape(zeros<int>({0}), {0, -1}); }) ==
             "buffers: reshape: the 0 elements of shape (0,) cannot be divided into shape (0, -1)");
  BOOST_TEST(said_of([&] { (void)reshape(t, {-1, -1}); }) == "buffers: reshape: shape (-1, -1) has more than one -1");
  BOOST_TEST(said_of([&] { (void)reshape(t, {-2, 3}); }) ==
             "buffers: reshape: shape (-2, 3) has the extent -2; the only negative one may be a -1, for what is left");
  BOOST_TEST(said_of([&] { (void)expand(line, {-2, 3}); }) == "buffers: a dimension is negative: -2");
  BOOST_TEST(said_of([] { (void)zeros<int>({2, -7}); }) == "buffers: a dimension is negative: -7");
  slab_resource buffer;
  BOOST_TEST(said_of([&] { (void)alloc<int>(buffer, 2, -3); }) == "buffers: a dimension is negative: -3");
  BOOST_TEST(said_of([&] { (void)reshape_buffer_at<int>(buffer, -4, 2); }) == "buffers: an offset is negative: -4");
  const auto turned = transpose(t);
  BOOST_TEST(said_of([&] { (void)turned.mdspan<std::layout_right>(); }) ==
             "buffers: mdspan: the elements do not lie row by row: ask for std::layout_stride, or make a copy()");
  BOOST_TEST(said_of([&] { (void)t[all, range{0, 2}].mdspan<std::layout_left>(); }) ==
             "buffers: mdspan: the elements do not lie column by column: ask for std::layout_stride, or make a copy()");
  BOOST_TEST(said_of([&] { (void)expand(line, {2, 3}).mdspan(); }) ==
             "buffers: mdspan: std::layout_stride has no strides that are zero or negative: make a copy()");
}

BOOST_AUTO_TEST_CASE(reshape_of_a_temporary_takes_its_memory) {
  test_resource r;
  {
    auto t = reshape(arange<int>(0, 6, 1, &r), {2, -1});
    static_assert(std::is_same_v<decltype(t), tensor<int, 2>>);
    BOOST_TEST(r.allocations() == 1u);
    BOOST_TEST(same(t, tensor{{0, 1, 2}, {3, 4, 5}}));
    BOOST_CHECK_THROW(((void)(reshape(std::move(t), {4, 2}))), std::invalid_argument);
    BOOST_TEST(t.numel() == 6u);  // as it was
  }
  BOOST_TEST(r.is_clean());
}

BOOST_AUTO_TEST_CASE(expand_repeats) {
  tensor t{{1}, {2}};
  const auto v = expand(t, {2, 3});
  BOOST_TEST(same(v, tensor{{1, 1, 1}, {2, 2, 2}}));
  BOOST_TEST((v.strides() == std::array<std::ptrdiff_t, 2>{1, 0}));
  BOOST_TEST(!v.is_contiguous());
  v[1, 2] = 7;
  BOOST_TEST((t[1, 0]) == 7);
  BOOST_TEST(same(expand(t, {2, 2, 1}), tensor{{{1}, {7}}, {{1}, {7}}}));
  BOOST_TEST(same(expand(t, {2, 0}), zeros<int>({2, 0})));
  BOOST_CHECK_THROW(((void)(expand(t, {3, 3}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(expand(t, {2, -1}))), std::invalid_argument);
  expand(t, {2, 2}) += expand(t, {2, 2});
  BOOST_TEST(same(t, tensor{{2}, {14}}));  // each element once
}

BOOST_AUTO_TEST_CASE(permute_and_transpose) {
  auto t = reshape(arange<int>(24), {2, 3, 4});
  BOOST_TEST((permute(t, {2, 0, 1}).shape() == std::array<std::size_t, 3>{4, 2, 3}));
  BOOST_TEST((permute(t, {-1, 0, 1})[3, 1, 2]) == 23);
  BOOST_TEST(same(permute(t, std::array<std::size_t, 3>{2, 0, 1}), permute(t, {2, 0, 1})));
  BOOST_CHECK_THROW(((void)(permute(t, std::array<std::size_t, 3>{0, 1, 3}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(permute(t, std::array<std::size_t, 3>{0, 1, SIZE_MAX}))), std::invalid_argument);
  BOOST_TEST((transpose(t)[3, 2, 1]) == 23);
  BOOST_TEST((transpose(t, 0, -1)[3, 2, 1]) == 23);
  BOOST_TEST((transpose(t, 0, 1).shape() == std::array<std::size_t, 3>{3, 2, 4}));
  BOOST_CHECK_THROW(((void)(permute(t, {0, 0, 1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(permute(t, {0, 1, 3}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(transpose(t, 0, 3))), std::out_of_range);
  transpose(t)[0, 0, 0] = 99;
  BOOST_TEST((t[0, 0, 0]) == 99);
}

// Of what has no memory to view, they are expressions.
BOOST_AUTO_TEST_CASE(permuted_expressions) {
  test_resource memory;
  const auto t = reshape(arange<int>(0, 24, 1, &memory), {2, 3, 4});
  const auto row = reshape(arange<int>(4), {1, 1, 4});
  const auto turned = permute(t + row, {2, 0, 1});
  BOOST_TEST((turned.shape() == std::array<std::size_t, 3>{4, 2, 3}));
  BOOST_TEST((turned[3, 1, -1]) == 26);
  BOOST_TEST(memory.allocations() == 1u);
  tensor<int, 3> target({4, 2, 3}, &memory);
  target = turned;
  BOOST_TEST(memory.allocations() == 2u);  // straight into the target
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < 2; ++j)
      for (std::size_t k = 0; k < 3; ++k) BOOST_TEST((target[i, j, k]) == (t[j, k, i]) + static_cast<int>(i));
  auto wide = zeros<int>({3, 4, 2, 5});
  wide[1, all, all, range{1, 4}] = turned;
  BOOST_TEST(same(wide[1, all, all, range{1, 4}], target));
  BOOST_TEST(sum(wide) == sum(target));
  BOOST_TEST(same(permute(permute(t + row, {2, 0, 1}), {1, 2, 0}), t + row));
  const auto plus = evaluate(t + row);
  BOOST_TEST(same(transpose(t + row, 0, -1) + 1, transpose(plus, 0, -1) + 1));
  // ... which own what was a temporary, and read what they are written to before
  BOOST_TEST(same(transpose(tensor{{1, 2, 3}, {4, 5, 6}} + 0), tensor{{1, 4}, {2, 5}, {3, 6}}));
  tensor square{{1, 2}, {3, 4}};
  square = transpose(square * square);
  BOOST_TEST(same(square, tensor{{1, 9}, {4, 16}}));
  square[all, all] = transpose(square - 1);
  BOOST_TEST(same(square, tensor{{0, 3}, {8, 15}}));
  // ... of reductions, of no elements and of no dimensions
  BOOST_TEST(same(transpose(sum(square, axes<0>, keepdims)), tensor{{8}, {18}}));
  BOOST_TEST(sum(transpose(square + 1), axes<0>)[0] == 5);
  BOOST_TEST(same(evaluate(transpose(zeros<int>({0, 3}) + 1)), zeros<int>({3, 0})));
  BOOST_TEST((transpose(full<int>({}, 2) + 1)[]) == 3);
  tensor stays{{7, 7}, {7, 7}};
  BOOST_CHECK_THROW(((void)(stays = transpose(tensor{{1, 2}, {3, 4}} / tensor{{1, 0}, {1, 1}}))), std::domain_error);
  BOOST_TEST(same(stays, full<int>({2, 2}, 7)));
  BOOST_CHECK_THROW(((void)(permute(t + row, {0, 0, 1}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(transpose(t + row, 0, 3))), std::out_of_range);
}

BOOST_AUTO_TEST_CASE(transposed_copies_of_all_sizes) {
  for (const std::size_t rows : {1u, 3u, 8u, 37u, 130u})
    for (const std::size_t columns : {1u, 2u, 16u, 65u}) {
      const auto check = [&]<class T>(T) {
        auto t = zeros<T>({2, rows, columns});
        int next = 0;
        for (T& x : t) x = static_cast<T>(next++ % 101);
        tensor turned(permute(t, {2, 0, 1}));
        tensor back(transpose(turned[all, 1, all]));
        bool right = same(back, t[1]);
        for (std::size_t i = 0; i < rows; ++i)
          for (std::size_t j = 0; j < columns; ++j) right = right && turned[j, 0, i] == t[0, i, j];
        if (!right) BOOST_ERROR(rows << " x " << columns << " of " << sizeof(T));
      };
      check('c');
      check(short{});
      check(float{});
      check(double{});
    }
}

BOOST_AUTO_TEST_CASE(concatenations) {
  const tensor a{{1, 2}, {3, 4}};
  const tensor b{{5, 6}};
  BOOST_TEST(same(concatenate<0>(a, b), tensor{{1, 2}, {3, 4}, {5, 6}}));
  BOOST_TEST(same(concatenate<-1>(a, transpose(b), a), tensor{{1, 2, 5, 1, 2}, {3, 4, 6, 3, 4}}));
  BOOST_TEST(same(concatenate<0>(a), a));
  BOOST_TEST(same(concatenate<0>(a * 2, sum(a, axes<0>, keepdims)), tensor{{2, 4}, {6, 8}, {4, 6}}));
  BOOST_TEST(same(concatenate<1>(a, a) + 1, tensor{{2, 3, 2, 3}, {4, 5, 4, 5}}));
  const auto both = concatenate<0>(a, b);
  BOOST_TEST((both[-1, 1]) == 6);
  static_assert(std::is_same_v<decltype(concatenate<0>(a, tensor<double, 2>{{0.5, 1.5}}))::value_type, double>);
  static_assert(concatenates_with_a_matrix<tensor<int, 2>> && !concatenates_with_a_matrix<tensor<int, 1>>);
  static_assert(concatenates_along<1> && concatenates_along<-2> && !concatenates_along<2> && !concatenates_along<-3>);
  BOOST_CHECK_THROW(((void)(concatenate<0>(a, tensor{{1, 2, 3}}))), std::invalid_argument);
  BOOST_CHECK_THROW(((void)(concatenate<1>(a, b))), std::invalid_argument);
  test_resource r;
  tensor c(concatenate<0>(a, b), &r);
  c[range{0, 3}] = concatenate<0>(b, a);
  c = concatenate<0>(a, b);
  BOOST_TEST(r.allocations() == 1u);
}

// Its elements have the common type, whatever they are put into, and whichever way they are asked for.
BOOST_AUTO_TEST_CASE(concatenations_of_several_types) {
  const tensor<std::int8_t, 1> small{-1, 2};
  const tensor<std::uint32_t, 1> natural{3};
  const auto both = concatenate<0>(small, natural);
  static_assert(std::is_same_v<decltype(both)::value_type, std::uint32_t>);
  const tensor<std::int64_t, 1> wanted{4294967295, 2, 3};
  BOOST_TEST(same(tensor<std::int64_t, 1>(both), wanted));
  BOOST_TEST(same(tensor<std::int64_t, 1>(both + 0u), wanted));
  BOOST_TEST(same(tensor<std::int64_t, 1>(concatenate<0>(small * 1, natural)), wanted));
  BOOST_TEST((both[0]) == 4294967295u);
  // 2^24 + 1 is no float.
  const tensor<int, 1> large{16777217};
  const tensor<float, 1> half{0.5f};
  BOOST_TEST(same(tensor<double, 1>(concatenate<0>(large, half)), tensor{16777216.0, 0.5}));
}

BOOST_AUTO_TEST_CASE(lower_triangles) {
  const auto t = reshape(arange<int>(1, 10), {3, 3});
  BOOST_TEST(same(tril(t), tensor{{1, 0, 0}, {4, 5, 0}, {7, 8, 9}}));
  BOOST_TEST(same(tril(t, -1), tensor{{0, 0, 0}, {4, 0, 0}, {7, 8, 0}}));
  BOOST_TEST(same(tril(t, 1), tensor{{1, 2, 0}, {4, 5, 6}, {7, 8, 9}}));
  BOOST_TEST(same(evaluate(tril(t, 1)), tril(t, 1)));
  BOOST_TEST(same(evaluate(tril(t[range{0, 2}], 0)), tensor{{1, 0, 0}, {4, 5, 0}}));
  BOOST_TEST(same(evaluate(tril(t, -5) + 1), ones<int>({3, 3})));
  constexpr std::ptrdiff_t far = std::numeric_limits<std::ptrdiff_t>::max();
  for (const std::ptrdiff_t diagonal :
       {-far - 1, -far, std::ptrdiff_t{-3}, std::ptrdiff_t{-2}, std::ptrdiff_t{2}, far}) {
    BOOST_TEST(same(evaluate(tril(t, diagonal)), diagonal < -2  ? zeros<int>({3, 3})
                                                 : diagonal < 0 ? evaluate(tril(t, -2))
                                                                : t));
    tensor<int, 2> turned({3, 3});
    transpose(turned) = tril(t, diagonal);
    BOOST_TEST(same(transpose(turned), evaluate(tril(t, diagonal))));
  }
  static_assert(has_triangle<tensor<int, 2>> && !has_triangle<tensor<int, 1>> && !has_triangle<tensor<int, 0>>);
}

BOOST_AUTO_TEST_CASE(what_fails_writes_nothing) {
  const tensor a{{6, 7}, {8, 9}}, zero{{1, 1}, {0, 1}};
  auto t = full<int>({2, 2}, 5);
  BOOST_CHECK_THROW(((void)(t = tril(a / zero))), std::domain_error);
  BOOST_CHECK_THROW(((void)(t[all, all] = tril(a / zero))), std::domain_error);
  BOOST_TEST(same(t, full<int>({2, 2}, 5)));
  auto long_one = full<int>({4, 2}, 5);
  BOOST_CHECK_THROW(((void)(long_one = concatenate<0>(a, a / zero))), std::domain_error);
  BOOST_CHECK_THROW(((void)(long_one[all, all] = concatenate<0>(a, a / zero))), std::domain_error);
  BOOST_TEST(same(long_one, full<int>({4, 2}, 5)));
  // ... nor when there is no memory for a part of it
  test_resource memory;
  tensor<int, 2> target(long_one, &memory);
  memory.set_allocation_limit(0);
  BOOST_CHECK_THROW(((void)(target = concatenate<0>(a, a - max(a, axes<0>, keepdims)))), std::bad_alloc);
  BOOST_TEST(same(target, long_one));
}

BOOST_AUTO_TEST_CASE(a_temporary_in_another_shape_keeps_its_memory) {
  auto t = arange<int>(6);
  const int* const elements = t.data();
  const auto turned = reshape(std::move(t), std::array<std::size_t, 2>{3, 2});
  BOOST_TEST(turned.data() == elements);
  BOOST_TEST(same(turned, tensor{{0, 1}, {2, 3}, {4, 5}}));
}

BOOST_AUTO_TEST_SUITE_END()
