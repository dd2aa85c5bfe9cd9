// Other arrangements of the elements of tensors and views.
//
//   operation              cost       what it is
//   reshape(t, {2, -1})    O(rank)    a view of the same elements, in row-major order, in another shape
//   expand(t, {4, 3})      O(rank)    a view in which dimensions of size 1, and new ones in front, repeat the elements
//   permute(t, {2, 0, 1})  O(rank)    a view with the dimensions in another order
//   transpose(t)           O(rank)    ... in the reverse order;  transpose(t, i, j): with those two exchanged
//   concatenate<0>(a, b)   O(numel)   an expression: one after the other in that dimension
//   tril(t, diagonal)      O(numel)   an expression: the last two dimensions' elements above the diagonal are zero
//
// Views of a temporary tensor do not compile; reshape of one takes over its memory. permute and transpose of an
// expression are expressions.
//
// Threads: as tensor_view and as expressions. Nothing here but an evaluation reads elements.
module;
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <memory_resource>
#include <tuple>
#include <type_traits>
#include <utility>
export module buffers.tensor:movement;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :loops;
import :block;
import :expression;
import :operations;
import :tensor_view;
import :reduction;
import :tensor_class;

namespace buffers::detail {

[[noreturn]] void throw_order(const std::ptrdiff_t* order, std::size_t rank);
[[noreturn]] void throw_axis(int axis, std::size_t rank);

// The strides with which elements of that shape and those strides have another shape of as many elements, in the same
// row-major order; false when there are none.
[[nodiscard]] bool reshape_strides(shape_span shape, const std::ptrdiff_t* strides, shape_span to,
                                   std::ptrdiff_t* to_strides) noexcept;

// The extent that the one -1 in `wanted` stands for; 0 when there is none. std::invalid_argument when there are
// several, when there is another negative one, and when nothing fits; std::bad_array_new_length when the others are too
// large.
[[nodiscard]] std::size_t inferred_extent(shape_span shape, const std::ptrdiff_t* wanted, std::size_t rank);

template <std::size_t N, std::size_t Rank>
[[nodiscard]] std::array<std::size_t, N> complete_shape(const std::array<std::size_t, Rank>& shape,
                                                        const auto& wanted) {
  std::array<std::ptrdiff_t, N> values{};
  for (std::size_t d = 0; d < N; ++d) values[d] = number(wanted[d]).extent();
  const std::size_t inferred = inferred_extent(shape, values.data(), N);
  std::array<std::size_t, N> result{};
  for (std::size_t d = 0; d < N; ++d) result[d] = values[d] < 0 ? inferred : static_cast<std::size_t>(values[d]);
  return result;
}

template <class T, std::size_t Rank, std::size_t N>
[[nodiscard]] tensor_view<T, N> reshape_view(const tensor_view<T, Rank>& view,
                                             const std::array<std::size_t, N>& shape) {
  if (numel(shape) != view.numel()) throw_shapes("reshape", view.shape(), shape, "have different numbers of elements");
  std::array<std::ptrdiff_t, N> strides{};
  if (!reshape_strides(view.shape(), view.strides().data(), shape, strides.data()))
    throw_shapes("reshape", view.shape(), shape, "cannot be views of the same strided elements: reshape a copy()");
  return view_access::make(view.data(), shape, strides, view.offset(), view.resource());
}

template <class X>
inline constexpr bool is_tensor = false;
template <class T, std::size_t Rank>
inline constexpr bool is_tensor<tensor<T, Rank>> = true;
template <class X>
inline constexpr bool is_view = false;
template <class T, std::size_t Rank>
inline constexpr bool is_view<tensor_view<T, Rank>> = true;

// What has elements that stay where they are: views, and tensors that are not temporaries.
template <class X>
concept viewable =
    is_view<std::remove_cvref_t<X>> || (is_tensor<std::remove_cvref_t<X>> && std::is_lvalue_reference_v<X>);

template <class X>
[[nodiscard]] auto view_of(X&& x) {
  if constexpr (is_view<std::remove_cvref_t<X>>)
    return x;
  else
    return x.view();
}

template <class T, std::size_t Rank>
[[nodiscard]] tensor_view<T, Rank> reorder(const tensor_view<T, Rank>& view,
                                           const std::array<std::size_t, Rank>& order) {
  std::array<std::size_t, Rank> shape{};
  std::array<std::ptrdiff_t, Rank> strides{};
  for (std::size_t d = 0; d < Rank; ++d) {
    shape[d] = view.shape()[order[d]];
    strides[d] = view.strides()[order[d]];
  }
  return view_access::make(view.data(), shape, strides, view.offset(), view.resource());
}

template <std::size_t Rank>
[[nodiscard]] std::array<std::size_t, Rank> checked_order(const auto& order) {
  std::array<std::ptrdiff_t, Rank> wanted{};
  for (std::size_t d = 0; d < Rank; ++d) wanted[d] = number(order[d]).value;
  std::array<std::size_t, Rank> dimensions{};
  std::array<bool, Rank> seen{};
  for (std::size_t d = 0; d < Rank; ++d) {
    const std::ptrdiff_t from = place(wanted[d], Rank);
    if (from < 0 || static_cast<std::size_t>(from) >= Rank || seen[static_cast<std::size_t>(from)])
      throw_order(wanted.data(), Rank);
    seen[static_cast<std::size_t>(from)] = true;
    dimensions[d] = static_cast<std::size_t>(from);
  }
  return dimensions;
}

[[nodiscard]] inline std::size_t checked_axis(int axis, std::size_t rank) {
  const std::ptrdiff_t at = place(axis, rank);
  if (at < 0 || static_cast<std::size_t>(at) >= rank) [[unlikely]]
    throw_axis(axis, rank);
  return static_cast<std::size_t>(at);
}

// What permute and transpose take: views, tensors that are not temporaries, and expressions.
template <class X>
concept permutable = viewable<X> || (operand_expression<X> && !is_tensor<std::remove_cvref_t<X>>);

// The node, or its elements made Results.
template <class Result, class N>
[[nodiscard]] auto node_of(N&& node) {
  if constexpr (std::is_same_v<typename N::value_type, Result>)
    return std::move(node);
  else
    return elementwise<convert_to<Result>, N>(std::move(node), {}, {});
}

template <std::size_t Axis, class Result, class... Nodes>
struct concatenation : computed_before {
  using value_type = Result;
  static constexpr std::size_t rank = std::tuple_element_t<0, std::tuple<Nodes...>>::rank;
  static constexpr std::size_t leaves = (Nodes::leaves + ...), largest = sizeof(Result);
  // An error in a later part comes when the first one is written already.
  static constexpr bool may_fail = ((Nodes::may_fail || !(Nodes::is_ready || is_leaf<Nodes>)) || ...);

  explicit concatenation(Nodes&&... nodes) : parts_(std::move(nodes)...), shape_(std::get<0>(parts_).shape()) {
    shape_[Axis] = 0;
    each([&](const auto& part) {
      std::array<std::size_t, rank> with = shape_;
      with[Axis] = part.shape()[Axis];
      if (with != part.shape())
        throw_shapes("concatenate", std::get<0>(parts_).shape(), part.shape(),
                     "differ in a dimension that is not joined");
      shape_[Axis] = add_bytes(shape_[Axis], with[Axis]);
    });
    (void)buffers::numel(shape_);
  }

  [[nodiscard]] const std::array<std::size_t, rank>& shape() const noexcept { return shape_; }
  [[nodiscard]] Result element(const std::size_t* index) const {
    std::array<std::size_t, rank> at{};
    for (std::size_t d = 0; d < rank; ++d) at[d] = shape_[d] == 1 ? 0 : index[d];
    Result result{};
    bool found = false;
    each([&](const auto& part) {
      if (!found && at[Axis] < part.shape()[Axis]) {
        result = static_cast<Result>(part.element(at.data()));
        found = true;
      }
      at[Axis] -= part.shape()[Axis];
    });
    return result;
  }
  void list(operand*& next) const noexcept {
    each([&](const auto& part) { part.list(next); });
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept {
    std::pmr::memory_resource* first = nullptr;
    each([&](const auto& part) { first = first != nullptr ? first : part.resource(); });
    return first;
  }
  template <class T, class Threads>
  void evaluate_into(const strided<T, rank>& target, Threads threads, std::pmr::memory_resource* memory) const {
    strided<T, rank> part_of_target = target;
    each([&](const auto& part) {
      part_of_target.shape[Axis] = part.shape()[Axis];
      detail::evaluate_into(part_of_target, part, threads, memory);
      part_of_target.data += static_cast<std::ptrdiff_t>(part.shape()[Axis]) * target.strides[Axis];
    });
  }

 private:
  template <class F>
  void each(F f) const {
    std::apply([&](const Nodes&... part) { (f(part), ...); }, parts_);
  }

  std::tuple<Nodes...> parts_;
  std::array<std::size_t, rank> shape_;
};

// Whether the element (i, j) is above the diagonal.
[[nodiscard]] constexpr bool is_above(std::size_t i, std::size_t j, std::ptrdiff_t diagonal) noexcept {
  return static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i) > diagonal;
}

// What expressions of all elements of one operand have in common.
template <class A>
struct rearranged : computed_before {
  using value_type = typename A::value_type;
  static constexpr std::size_t rank = A::rank, leaves = A::leaves, largest = sizeof(value_type);
  static constexpr bool may_fail = A::may_fail;

  void list(operand*& next) const noexcept { from_.list(next); }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return from_.resource(); }

 protected:
  explicit rearranged(A&& operand) : from_(std::move(operand)) {}

  A from_;
};

template <class A>
struct permutation : rearranged<A> {
  using rearranged<A>::rank;

  permutation(A&& operand, const std::array<std::size_t, rank>& order)
      : rearranged<A>(std::move(operand)), order_(order), shape_{} {
    for (std::size_t d = 0; d < rank; ++d) shape_[d] = this->from_.shape()[order_[d]];
  }

  [[nodiscard]] const std::array<std::size_t, rank>& shape() const noexcept { return shape_; }
  [[nodiscard]] operator typename A::value_type() const
    requires(rank == 0)
  {
    return value_of(*this);
  }
  [[nodiscard]] auto element(const std::size_t* index) const {
    std::array<std::size_t, rank> at{};
    for (std::size_t d = 0; d < rank; ++d) at[order_[d]] = shape_[d] == 1 ? 0 : index[d];
    return this->from_.element(at.data());
  }
  // The operand, into the target as it looks in the operand's order.
  template <class T, class Threads>
  void evaluate_into(const strided<T, rank>& target, Threads threads, std::pmr::memory_resource* memory) const {
    strided<T, rank> back = target;
    for (std::size_t d = 0; d < rank; ++d) {
      back.shape[order_[d]] = target.shape[d];
      back.strides[order_[d]] = target.strides[d];
    }
    detail::evaluate_into(back, this->from_, threads, memory);
  }

 private:
  std::array<std::size_t, rank> order_, shape_;
};

template <class A>
struct lower_triangle : rearranged<A> {
  using rearranged<A>::rank, typename rearranged<A>::value_type;

  lower_triangle(A&& operand, std::ptrdiff_t diagonal) : rearranged<A>(std::move(operand)), diagonal_(diagonal) {}

  [[nodiscard]] std::array<std::size_t, rank> shape() const noexcept { return this->from_.shape(); }
  [[nodiscard]] value_type element(const std::size_t* index) const {
    const auto at = [&](std::size_t d) { return shape()[d] == 1 ? 0 : index[d]; };
    return is_above(at(rank - 2), at(rank - 1), diagonal_) ? value_type{} : this->from_.element(index);
  }
  template <class T, class Threads>
  void evaluate_into(const strided<T, rank>& target, Threads threads, std::pmr::memory_resource* memory) const {
    detail::evaluate_into(target, this->from_, threads, memory);
    std::array<std::size_t, rank> rows = shape();
    const std::size_t columns = std::exchange(rows[rank - 1], 1);
    for (std::size_t row = 0, count = buffers::numel(rows); row < count; ++row) {
      const std::array<std::size_t, rank> index = unflatten(row, rows);
      T* const elements = target.data + flat_offset(index, target.strides);
      const std::ptrdiff_t step = target.strides[rank - 1];
      if (step == 1)
        for (std::size_t j = stay(index[rank - 2], columns); j < columns; ++j) elements[j] = T{};
      else
        for (std::size_t j = stay(index[rank - 2], columns); j < columns; ++j)
          elements[static_cast<std::ptrdiff_t>(j) * step] = T{};
    }
  }

 private:
  // How many elements of a row are not above the diagonal.
  [[nodiscard]] std::size_t stay(std::size_t row, std::size_t columns) const noexcept {
    const auto ahead = static_cast<std::size_t>(diagonal_), back = 0 - ahead, rows_so_far = row + 1;
    if (diagonal_ < 0) return back >= rows_so_far ? 0 : std::min(columns, rows_so_far - back);
    return ahead >= columns ? columns : std::min(columns, rows_so_far + ahead);
  }

  std::ptrdiff_t diagonal_;
};

// The dimensions in that order: a view of what stays where it is, an expression of other operands.
template <class X, std::size_t Rank>
[[nodiscard]] auto reordered(X&& x, const std::array<std::size_t, Rank>& order) {
  if constexpr (viewable<X>) {
    return detail::reorder(detail::view_of(x), order);
  } else {
    auto node = detail::as_node(std::forward<X>(x));
    return permutation<decltype(node)>(std::move(node), order);
  }
}

}  // namespace buffers::detail

export namespace buffers {

/// The same elements in another shape, row-major. One extent may be -1: as much as is left for it. A view;
/// std::invalid_argument when the numbers of elements differ, when an extent is less than -1 or several are -1, and
/// when the strides do not allow a view: of elements that lie without gaps they always do. Of a temporary tensor: a
/// tensor with its memory.
template <class X, std::size_t N>
  requires detail::viewable<X>
[[nodiscard]] auto reshape(X&& x, const detail::number (&shape)[N]) {
  return detail::reshape_view(detail::view_of(x), detail::complete_shape<N>(x.shape(), shape));
}
template <class X, std::signed_integral I, std::size_t N>
  requires detail::viewable<X>
[[nodiscard]] auto reshape(X&& x, const std::array<I, N>& shape) {
  return detail::reshape_view(detail::view_of(x), detail::complete_shape<N>(x.shape(), shape));
}
template <class X, std::size_t N = 0>
  requires detail::viewable<X>
[[nodiscard]] auto reshape(X&& x, const std::array<std::size_t, N>& shape) {
  return detail::reshape_view(detail::view_of(x), shape);
}
template <element T, std::size_t Rank, std::size_t N>
  requires(Rank > 0 && N > 0)
[[nodiscard]] tensor<T, N> reshape(tensor<T, Rank>&& x, const std::array<std::size_t, N>& shape) {
  if (numel(shape) != x.numel())
    detail::throw_shapes("reshape", x.shape(), shape, "have different numbers of elements");
  return tensor<T, N>(std::move(x).release_block().into(shape));
}
template <element T, std::size_t Rank, std::size_t N>
  requires(Rank > 0)
[[nodiscard]] tensor<T, N> reshape(tensor<T, Rank>&& x, const detail::number (&shape)[N]) {
  return buffers::reshape(std::move(x), detail::complete_shape<N>(x.shape(), shape));
}
template <element T, std::size_t Rank, std::signed_integral I, std::size_t N>
  requires(Rank > 0 && N > 0)
[[nodiscard]] tensor<T, N> reshape(tensor<T, Rank>&& x, const std::array<I, N>& shape) {
  return buffers::reshape(std::move(x), detail::complete_shape<N>(x.shape(), shape));
}

/// The same elements, repeated: dimensions of size 1 have any size, and there may be more dimensions in front.
/// std::invalid_argument, naming both shapes, for others; without shapes, for a negative extent.
/// std::bad_array_new_length for more elements than there can be. A write changes all that are the same element.
template <class X, std::size_t N = 0>
  requires(detail::viewable<X> && N >= std::remove_cvref_t<X>::rank)
[[nodiscard]] auto expand(X&& x, const std::array<std::size_t, N>& shape) {
  const auto view = detail::view_of(x);
  (void)numel(shape);
  return detail::view_access::make(view.data(), shape, broadcast_strides(view.shape(), view.strides(), shape),
                                   view.offset(), view.resource());
}
template <class X, std::size_t N>
  requires(detail::viewable<X> && N >= std::remove_cvref_t<X>::rank)
[[nodiscard]] auto expand(X&& x, const detail::number (&shape)[N]) {
  return buffers::expand(x, detail::shape_of(shape));
}

/// The dimensions in another order: dimension d of the result is dimension order[d]. A view; of an expression, an
/// expression. std::invalid_argument when the order is not every dimension once.
template <class X, std::size_t N>
  requires(detail::permutable<X> && N == detail::rank_of<X>)
[[nodiscard]] auto permute(X&& x, const detail::number (&order)[N]) {
  return detail::reordered(std::forward<X>(x), detail::checked_order<N>(order));
}
template <class X, std::size_t N>
  requires(detail::permutable<X> && N == detail::rank_of<X>)
[[nodiscard]] auto permute(X&& x, const std::array<std::size_t, N>& order) {
  return detail::reordered(std::forward<X>(x), detail::checked_order<N>(order));
}

/// The dimensions in reverse order: a view or an expression, as permute().
template <class X>
  requires detail::permutable<X>
[[nodiscard]] auto transpose(X&& x) {
  constexpr std::size_t rank = detail::rank_of<X>;
  std::array<std::size_t, rank> order{};
  for (std::size_t d = 0; d < rank; ++d) order[d] = rank - 1 - d;
  return detail::reordered(std::forward<X>(x), order);
}
/// Two dimensions exchanged; negative ones count from the last. std::out_of_range for one that is not there.
template <class X>
  requires detail::permutable<X>
[[nodiscard]] auto transpose(X&& x, int i, int j) {
  constexpr std::size_t rank = detail::rank_of<X>;
  std::array<std::size_t, rank> order{};
  for (std::size_t d = 0; d < rank; ++d) order[d] = d;
  std::swap(order[detail::checked_axis(i, rank)], order[detail::checked_axis(j, rank)]);
  return detail::reordered(std::forward<X>(x), order);
}

/// One after the other in dimension Axis, negative counting from the last: an expression. std::invalid_argument, naming
/// two shapes, when they differ in other dimensions; std::bad_array_new_length for more elements than there can be.
template <int Axis, class First, class... X>
  requires(detail::reducible<First, Axis> &&
           ((detail::operand_expression<X> && std::remove_cvref_t<X>::rank == std::remove_cvref_t<First>::rank) && ...))
[[nodiscard]] auto concatenate(First&& first, X&&... x) {
  constexpr std::size_t axis = std::countr_zero(detail::axes_mask<std::remove_cvref_t<First>::rank, Axis>);
  using result = std::common_type_t<typename std::remove_cvref_t<First>::value_type,
                                    typename std::remove_cvref_t<X>::value_type...>;
  return [](auto&&... nodes) {
    return detail::concatenation<axis, result, std::remove_cvref_t<decltype(nodes)>...>(std::move(nodes)...);
  }(detail::node_of<result>(detail::as_node(std::forward<First>(first))),
         detail::node_of<result>(detail::as_node(std::forward<X>(x)))...);
}

/// The lower triangles of the last two dimensions, elements (i, j) with j - i > diagonal being zero: an expression.
template <class X>
  requires(detail::operand_expression<X> && std::remove_cvref_t<X>::rank >= 2)
[[nodiscard]] auto tril(X&& x, std::ptrdiff_t diagonal = 0) {
  auto node = detail::as_node(std::forward<X>(x));
  return detail::lower_triangle<decltype(node)>(std::move(node), diagonal);
}

}  // namespace buffers
