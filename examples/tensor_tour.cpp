// tensor_tour: the document on TinyGPT's Buffer, an array of several dimensions in Python, in its order: how elements
// are stored, what can be done with them, and its example with the results that it prints. Each result is checked.
//
//     tensor_tour
//
// Exit code: 0; 1 when a result is not the one that it has to be, or cannot be printed.
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <format>
#include <mdspan>
#include <memory_resource>
#include <print>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include "tour.hpp"

import buffers;

namespace {

using namespace buffers;
using tour::check;

// Whether a tensor, view or expression has these elements, and with them this shape.
template <class X, class T, std::size_t Rank>
bool is(const X& x, const tensor<T, Rank>& expected) {
  return x.shape() == expected.shape() && all(x == expected);
}

void storage() {
  tour::heading("Data storage: shape, strides, offset, type");
  tensor t{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
  std::println("{}: {} elements in memory: {}", t, t.numel(), tensor_view(std::span(t.data(), t.numel())));
  std::println("shape ({}, {}), strides ({}, {}), offset {}, {}", t.shape()[0], t.shape()[1], t.strides()[0],
               t.strides()[1], t.offset(), dtype_of<int>);
  check(t.strides() == std::array<std::ptrdiff_t, 2>{3, 1} && t.offset() == 0 && dtype_of<int> == "int32");

  const auto corner = t[range{1, all}, range{1, all}];  // no copy: the same memory with another beginning
  std::println("its corner {}: strides ({}, {}), offset {}, contiguous: {}", corner, corner.strides()[0],
               corner.strides()[1], corner.offset(), corner.is_contiguous());
  check(is(corner, tensor{{5, 6}, {8, 9}}) && corner.offset() == 4 && !corner.is_contiguous());
  static_assert(dtype_of<float> == "float32" && dtype_of<bool> == "bool");
}

void creation(slab_resource& scratch) {
  tour::heading("Creation: of a shape, of nested lists, of memory that is there");
  std::mt19937 engine{2024};
  const auto even = uniform<float>({2, 3}, engine, &scratch);
  const auto bell = normal<float>({100, 100}, engine, &scratch);
  std::println("zeros   {}", zeros<float>({2, 3}, &scratch));
  std::println("ones    {}", ones<int>({2, 3}, &scratch));
  std::println("uniform {:.3f}", even);
  std::println("normal  {:.3f}, mean {:.3f}", bell, mean(bell));
  std::println("arange  {}", arange<int>(0, 10, 2, &scratch));
  check(all(even >= 0.0f && even < 1.0f) && std::abs(mean(bell)) < 0.05f);

  tensor nested({{true, false}, {false, true}}, &scratch);
  std::println("lists   {} of {}", nested, dtype_of<decltype(nested)::value_type>);
  try {
    (void)tensor{{1, 2}, {3}};
    check(false);
  } catch (const std::invalid_argument& error) {
    std::println("        {}", error.what());
  }

  std::vector<double> samples{1, 2, 3, 4, 5, 6};
  tensor_view table(std::mdspan(samples.data(), 2, 3));
  table[1, all] *= 10;
  std::println("memory  {} is {}", table, samples);
  check(samples[3] == 40 && samples[0] == 1);
}

void mathematics(slab_resource& scratch) {
  tour::heading("Mathematics: elements, functions, comparisons");
  const tensor a({{1.0f, 2.0f}, {3.0f, 4.0f}}, &scratch), b({{10.0f, 20.0f}, {30.0f, 40.0f}}, &scratch);
  std::println("a + b {}  a - b {}", a + b, a - b);
  std::println("a * b {}  b / a {}", a * b, b / a);
  std::println("pow(a, 2) {}  2 * a + 0.5 {}", pow(a, 2), 2.0f * a + 0.5f);
  std::println("exp(a) {:.4f}", exp(a));
  std::println("log(a) {:.4f}", log(a));
  std::println("maximum(a, 2.5) {}", maximum(a, 2.5f));
  std::println("a < 3 {}  a == a {}", a < 3.0f, a == a);  // NOLINT(misc-redundant-expression)
  check(is(pow(a, 2), tensor{{1.0f, 4.0f}, {9.0f, 16.0f}}) && is(a < 3.0f, tensor{{true, true}, {false, false}}));
  check(all(abs(log(exp(a)) - a) < 1e-6f));

  const std::size_t before = scratch.used();
  const auto expression = a * b + exp(a);  // nothing is computed yet, and nothing allocated
  check(scratch.used() == before);
  const tensor c(expression, &scratch);  // once, into its place
  std::println("a * b + exp(a) {:.2f}: {} bytes for the result, none for what is between", c, scratch.used() - before);

  const tensor row({1.0f, 100.0f}, &scratch);
  std::println("a * row {}: shapes broadcast", a * row);
  try {
    (void)(a + ones<float>({3}, &scratch));
    check(false);
  } catch (const std::invalid_argument& error) {
    std::println("{}", error.what());
  }
  try {
    (void)evaluate(tensor{1, 2} / tensor{1, 0}, &scratch);
    check(false);
  } catch (const std::domain_error& error) {
    std::println("{}", error.what());
  }
}

void indexing(slab_resource& scratch) {
  tour::heading("Indexing and slicing: every slice is a view");
  auto t = reshape(arange<int>(0, 24, 1, &scratch), {4, 6});
  std::println("t[0, 1] {}  t[-1, -1] {}", t[0, 1], t[-1, -1]);
  std::println("t[range{{0, 2}}, all] {}", t[range{0, 2}, all]);
  std::println("t[-1, range{{5, 0, -2}}] {}", t[-1, range{5, 0, -2}]);
  std::println("t[all, 2] {}", t[all, 2]);
  check(t[-1, -1] == 23 && is(t[-1, range{5, 0, -2}], tensor{23, 21, 19}) && is(t[all, 2], tensor{2, 8, 14, 20}));
  t[range{1, 3}, 1] = tensor{-1, -2};
  t[0, all] = 0;
  t[3, range{1, all}] = t[3, range{0, -1}];  // both sides are the same memory
  std::println("after three assignments {}", t);
  check(is(t[all, 1], tensor{0, -1, -2, 18}) && is(t[3, all], tensor{18, 18, 19, 20, 21, 22}));
  try {
    (void)t.at(4, 0);
    check(false);
  } catch (const std::out_of_range& error) {
    std::println("{}", error.what());
  }
}

void movement(slab_resource& scratch) {
  tour::heading("Movement: the same elements, arranged otherwise");
  auto nine = arange<int>(1, 10, &scratch);
  std::println("reshape {} to {}", nine, reshape(nine, {3, -1}));
  auto row = reshape(nine[range{0, 3}], {1, 3});
  std::println("expand {} to {}", row, expand(row, {4, 3}));
  auto cube = zeros<float>({2, 3, 4}, &scratch);
  const auto turned = permute(cube, {2, 0, 1});
  std::println("permute (2, 3, 4) to ({}, {}, {})", turned.shape()[0], turned.shape()[1], turned.shape()[2]);
  const auto square = reshape(nine, {3, 3});
  std::println("transpose {}", transpose(square));
  std::println("tril {}", tril(square));
  std::println("concatenate {}", concatenate<1>(square, transpose(square)));
  check(reshape(nine, {3, -1}).data() == nine.data() && expand(row, {4, 3}).data() == nine.data());
  check(turned.shape() == std::array<std::size_t, 3>{4, 2, 3});
  check(is(tril(square), tensor{{1, 0, 0}, {4, 5, 0}, {7, 8, 9}}) && is(transpose(square)[0], tensor{1, 4, 7}));
}

void reduction(slab_resource& scratch) {
  tour::heading("Reduction: over everything, or some dimensions");
  const tensor t({{1, 5, 3}, {4, 2, 6}}, &scratch);
  std::println("sum {}  max {}  min {}  mean {}  argmax {}", sum(t), max(t), min(t), mean(t), argmax(t));
  std::println("sum over 0 {}  over 1 {}", sum(t, axes<0>), sum(t, axes<1>));
  std::println("max over -1, kept {}", max(t, axes<-1>, keepdims));
  std::println("how many are above 2: {}", sum(t > 2));
  check(sum(t) == 21 && is(sum(t, axes<0>), tensor{5, 7, 9}) && is(max(t, axes<-1>, keepdims), tensor{{5}, {6}}));
}

void example(slab_resource& scratch) {
  tour::heading("The example of the document");
  auto buffer = zeros<float>({3, 3}, &scratch);
  const float* const memory = buffer.data();
  buffer = buffer + 5.0f;
  buffer[1, 1] = 10.0f;
  const auto reshaped_buffer = reshape(buffer, {9});
  const auto summed_buffer = sum(buffer, axes<0>);
  const std::vector<std::vector<float>> list = buffer.to_nested();
  std::println("Original Buffer:\n {}", buffer);
  std::println("Reshaped Buffer:\n {}", reshaped_buffer);
  std::println("Summed Buffer:\n {}", summed_buffer);
  std::println("List:\n {}", list);
  std::println("Shape: ({}, {})", buffer.shape()[0], buffer.shape()[1]);
  std::println("Strides: ({}, {})", buffer.strides()[0], buffer.strides()[1]);
  check(buffer.data() == memory);  // the sum went where the operand was
  check(std::format("{}", buffer) == "[[5.0, 5.0, 5.0], [5.0, 10.0, 5.0], [5.0, 5.0, 5.0]]");
  check(std::format("{}", reshaped_buffer) == "[5.0, 5.0, ..., 5.0, 5.0]" && reshaped_buffer[4] == 10.0f);
  check(std::format("{}", summed_buffer) == "[15.0, 20.0, 15.0]");
  check(list[1][1] == 10.0f && list.size() == 3);
}

}  // namespace

int main() {
  slab_resource scratch;
  storage();
  creation(scratch);
  mathematics(scratch);
  indexing(scratch);
  movement(scratch);
  reduction(scratch);
  example(scratch);
  return tour::exit_code();
}
