// Expressions: what `a * b + exp(c)` is until it is evaluated. An expression is a small tree of nodes by value. At its
// leaves are pointers with a shape and strides (an operand that was an lvalue), memory of its own (an operand that was
// an rvalue) or plain values; its shape is known, and checked, when it is made. An expression that is an operand by its
// name is copied, as it is pointers; one that owns memory is referred to.
//
//     a * b + exp(c)               elementwise<add>            evaluated row by row of the common shape: each leaf
//                                   /            \             gives a pointer to its part of the row, and one loop
//                    elementwise<multiply>    elementwise<exp>  computes the row straight into the target
//                       /         \               |
//                     leaf a     leaf b         leaf c
//
// A row whose elements are not neighbours, or all the same, is brought into memory on the stack first, so that there is
// one loop over plain pointers, which compilers vectorise, whatever the strides are. That loop is all that is compiled
// for each expression, for few operands with another one for each that may repeat an element along the rows; what leads
// to it is compiled once, into the library (see :loops). Reductions inside of a larger expression are computed before,
// into memory of the resource that evaluation uses. An expression of more than 127 operands or 64 dimensions does not
// compile.
//
//   operation               cost                       what it does
//   shape, numel, rank      O(1)                       of the result
//   e[i...], e.at(i...)     one element's computation  an element; at() checks, negative indices count from the end
//   evaluate(e, &resource)  as the loops               a tensor (see also tensor's constructor and assignment)
//   to_nested()             O(numel)                   nested std::vectors
//   T x = e                 as the loops               the value of an expression of no dimensions
//
// Threads: an expression reads its operands whenever it is asked for elements.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <type_traits>
#include <utility>
#include <vector>
export module buffers.tensor:expression;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :loops;
import :block;

namespace buffers::detail {

template <class E>
struct borrowed;

template <class T, std::size_t Rank>
struct nested_vector {
  using type = std::vector<typename nested_vector<T, Rank - 1>::type>;
};
template <class T>
struct nested_vector<T, 0> {
  using type = T;
};

template <std::size_t D, class E>
auto to_nested(const E& expression, std::array<std::size_t, E::rank>& index) {
  if constexpr (D == E::rank) {
    return expression.element(index.data());
  } else {
    typename nested_vector<typename E::value_type, E::rank - D>::type values;
    values.reserve(expression.shape()[D]);
    for (index[D] = 0; index[D] < expression.shape()[D]; ++index[D])
      values.push_back(detail::to_nested<D + 1>(expression, index));
    return values;
  }
}

}  // namespace buffers::detail

export namespace buffers {

/// A tensor, a view, or what operators and functions make of them.
template <class E>
concept expression = detail::expression_type<std::remove_cvref_t<E>>;

/// What all expressions that are not tensors or views can do.
struct expression_base {
  using expression_tag = void;
  using borrows_memory = void;

  /// The number of elements.
  template <class Self>
  [[nodiscard]] std::size_t numel(this const Self& self) noexcept {
    return detail::product(self.shape());
  }
  /// Computes one element. Negative indices count from the end. In the hardened build, an index beside the shape ends
  /// the program.
  template <class Self, std::integral... I>
    requires(sizeof...(I) == Self::rank)
  [[nodiscard]] auto operator[](this const Self& self, I... index) {
    [[maybe_unused]] std::size_t d = 0;
    const std::array<std::size_t, sizeof...(I)> at{
        static_cast<std::size_t>(detail::place(index, self.shape()[d++]))...};
    if constexpr (detail::hardened)
      for (d = 0; d < at.size(); ++d)
        if (at[d] >= self.shape()[d]) detail::violate("an index is beside the tensor");
    return self.element(at.data());
  }
  /// ... throws std::out_of_range for an index beside the shape.
  template <class Self, std::integral... I>
    requires(sizeof...(I) == Self::rank)
  [[nodiscard]] auto at(this const Self& self, I... index) {
    [[maybe_unused]] std::size_t d = 0;
    const std::array<std::size_t, sizeof...(I)> at{detail::checked_place(index, self.shape()[d++])...};
    return self.element(at.data());
  }
  /// The elements in std::vectors of std::vectors; with no dimensions, the element.
  template <class Self>
  [[nodiscard]] auto to_nested(this const Self& self) {
    std::array<std::size_t, Self::rank> index{};
    return detail::to_nested<0>(self, index);
  }

  // A named expression that owns a temporary cannot be copied: it is referred to, as a tensor is.
  template <class Self, class E = std::remove_cvref_t<Self>>
    requires(std::constructible_from<E, Self> || std::is_lvalue_reference_v<Self>)
  auto node(this Self&& self) {
    if constexpr (std::constructible_from<E, Self>)
      return E(std::forward<Self>(self));
    else
      return detail::borrowed<E>(self);
  }
};

}  // namespace buffers

namespace buffers::detail {

// Whether [a, a + a_bytes) and [b, b + b_bytes) share no byte: with ahead = b - a modulo 2^64, when
// a_bytes <= ahead <= 2^64 - b_bytes, which is one comparison once a_bytes is subtracted.
[[nodiscard]] inline bool are_disjoint(const void* a, std::size_t a_bytes, const void* b,
                                       std::size_t b_bytes) noexcept {
  const auto ahead = reinterpret_cast<std::uintptr_t>(b) - reinterpret_cast<std::uintptr_t>(a);
  return ahead - a_bytes <= std::uintptr_t{0} - a_bytes - b_bytes;
}

// Where results go.
template <class T, std::size_t Rank>
struct strided {
  T* data;
  std::array<std::size_t, Rank> shape;
  std::array<std::ptrdiff_t, Rank> strides;

  [[nodiscard]] operand as_operand() const noexcept { return {data, sizeof(T), Rank, shape.data(), strides.data()}; }
};

// --- Rows: what a part of a row is for the loop that computes it. `advance` goes to the next row, in each leaf so many
// bytes further.

template <class T>
struct pointer_row {
  const T* elements;
  T at(std::size_t i) const { return elements[i]; }
  [[gnu::always_inline]] inline void advance(const std::ptrdiff_t*& step) {
    elements = reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(elements) + *step++);
  }
};

// One element for all of a row.
template <class T>
struct repeated_row {
  const T* element;
  T value;

  explicit repeated_row(const T* e) : element(e), value(*e) {}
  T at(std::size_t) const { return value; }
  [[gnu::always_inline]] inline void advance(const std::ptrdiff_t*& step) {
    element = reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(element) + *step++);
    value = *element;
  }
};

template <class T>
struct value_row {
  T value;
  T at(std::size_t) const { return value; }
  [[gnu::always_inline]] static inline void advance(const std::ptrdiff_t*&) {}
};

// What nodes have in common that are no elements in memory. Node makes it a base of its own for each, so that two of
// them take no room in an operation.
template <class Node, class T>
struct without_memory {
  using value_type = T;
  static constexpr std::size_t rank = 0, leaves = 0, slots = 0;
  static constexpr bool may_fail = false, loops = false, is_ready = true;

  [[nodiscard]] static constexpr std::array<std::size_t, 0> shape() noexcept { return {}; }
  static constexpr void list(operand*&) noexcept {}
  [[nodiscard]] static constexpr bool is_in_step(const auto&, std::size_t, const void**&) noexcept { return true; }
  [[nodiscard]] static constexpr std::pmr::memory_resource* resource() noexcept { return nullptr; }
};

// The operand that an operation of fewer operands does not have.
struct none : without_memory<none, none> {
  static constexpr std::size_t largest = 1;

  [[nodiscard]] static constexpr none at(std::size_t) noexcept { return {}; }
  [[nodiscard]] static constexpr none element(const std::size_t*) noexcept { return {}; }
  template <std::size_t, std::size_t, std::size_t>
  static none row(const auto&) noexcept {
    return {};
  }
  [[gnu::always_inline]] static inline void advance(const std::ptrdiff_t*&) {}
};

// Op of as many values as it has operands.
template <class Op, class... T>
[[gnu::always_inline]] inline auto apply_to(T... value) {
  return Op::apply(value...);
}
template <class Op, class A>
[[gnu::always_inline]] inline auto apply_to(A a, none, none) {
  return Op::apply(a);
}
template <class Op, class A, class B>
[[gnu::always_inline]] inline auto apply_to(A a, B b, none) {
  return Op::apply(a, b);
}

// Whether a row, or a node, calls a function of the user's, whose calls may depend on each other: it is called once for
// each element that is computed, and not at once.
template <class X>
inline constexpr bool calls_user = requires { requires X::calls_users_function; };
// Whether a node may find only while elements are written that there is an error which is not the user's.
template <class X>
inline constexpr bool fails_late = requires { requires X::fails_while_written; };

template <class Op, class A, class B, class C>
struct computed_row {
  static constexpr bool calls_users_function = calls_user<Op> || calls_user<A> || calls_user<B> || calls_user<C>;
  [[no_unique_address]] A a;
  [[no_unique_address]] B b;
  [[no_unique_address]] C c;
  [[gnu::always_inline]] inline auto at(std::size_t i) const { return apply_to<Op>(a.at(i), b.at(i), c.at(i)); }
  [[gnu::always_inline]] inline void advance(const std::ptrdiff_t*& step) {
    a.advance(step);
    b.advance(step);
    c.advance(step);
  }
};

// The loop. Nothing else writes elements. An element may be where operands of the same index are.
template <class Row, class T>
[[gnu::always_inline]] inline void write_each(const Row& row, T* out, std::size_t count) {
  const auto write = [&](std::size_t i) __attribute__((always_inline)) { out[i] = converted<T>(row.at(i)); };
  if constexpr (calls_user<Row>)
    for (std::size_t i = 0; i < count; ++i) write(i);
  else
    for_each_independent(count, write);
}
// ... for rows, each as neighbours.
template <class Row, class T>
struct rows_loop {
  Row row;
  T* out;
  std::size_t count;
  const row_steps& steps;

  [[gnu::always_inline]] inline void operator()() const {
    // From copies, of which the compiler knows that nobody else can change them.
    Row from = row;
    T* to = out;
    for (std::size_t left = steps.rows;;) {
      write_each(Row(from), to, count);
      if (--left == 0) return;
      const std::ptrdiff_t* step = steps.leaves;
      from.advance(step);
      to = reinterpret_cast<T*>(reinterpret_cast<std::byte*>(to) + steps.target);
    }
  }
};
inline constexpr row_steps one_row{1, 0, nullptr};

template <std::size_t Slot, class T>
[[nodiscard]] T* chunk_memory(const row_request& request, std::size_t slot_bytes) noexcept {
  return reinterpret_cast<T*>(request.scratch + Slot * slot_bytes);
}

// --- Nodes

// A plain value: a number, or a function of the user's.
template <class T>
struct scalar : without_memory<scalar<T>, T> {
  static constexpr std::size_t largest = element<T> ? sizeof(T) : 1;

  T value;

  explicit scalar(T v) : value(v) {}
  [[nodiscard]] T element(const std::size_t*) const noexcept { return value; }
  template <std::size_t, std::size_t, std::size_t>
  [[gnu::always_inline]] inline value_row<T> row(const auto&) const noexcept {
    return {value};
  }
};

template <element T, std::size_t Rank>
struct leaf : expression_base {
  using value_type = T;
  static constexpr std::size_t rank = Rank, leaves = 1, slots = 0, largest = sizeof(T);
  static constexpr bool may_fail = false, loops = false, is_ready = true;

  const T* data;
  std::array<std::size_t, Rank> extents;
  std::array<std::ptrdiff_t, Rank> strides;
  std::pmr::memory_resource* memory;

  leaf(const T* d, const std::array<std::size_t, Rank>& e, const std::array<std::ptrdiff_t, Rank>& s,
       std::pmr::memory_resource* m) noexcept
      : data(d), extents(e), strides(s), memory(m) {}

  [[nodiscard]] const std::array<std::size_t, Rank>& shape() const noexcept { return extents; }
  [[nodiscard]] T element(const std::size_t* index) const noexcept {
    std::ptrdiff_t offset = 0;
    for (std::size_t d = 0; d < Rank; ++d)
      offset += extents[d] == 1 ? 0 : static_cast<std::ptrdiff_t>(index[d]) * strides[d];
    return data[offset];
  }
  void list(operand*& next) const noexcept { *next++ = {data, sizeof(T), Rank, extents.data(), strides.data()}; }
  // Whether one index can walk this and the target, which has `count` elements and no gaps: the same shape and strides,
  // and the very same elements or none that share memory. Writes data() to *next.
  template <class U, std::size_t N>
  [[nodiscard, gnu::always_inline]] inline bool is_in_step(const strided<U, N>& target, std::size_t count,
                                                           const void**& next) const noexcept {
    *next++ = data;
    if constexpr (N != Rank) {
      return false;
    } else {
      const bool apart = are_disjoint(data, count * sizeof(T), target.data, count * sizeof(U));
      const bool same_place = static_cast<const void*>(data) == target.data && sizeof(T) == sizeof(U);
      return are_equal(extents, target.shape) && are_equal(strides, target.strides) && (apart || same_place);
    }
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return memory; }

  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes, class Request>
  [[gnu::always_inline]] inline auto row(const Request& request) const noexcept {
    const auto* const elements = static_cast<const T*>(read_alone(request.elements[Leaf]));
    if constexpr (Leaf == Request::repeated)
      return repeated_row<T>(elements);
    else
      return pointer_row<T>{elements};
  }
};

// A tensor that the expression owns: an operand that was an rvalue, or the result of a reduction inside.
template <element T, std::size_t Rank>
struct owned : expression_base {
  using value_type = T;
  static constexpr std::size_t rank = Rank, leaves = 1, slots = 0, largest = sizeof(T);
  static constexpr bool may_fail = false, loops = false, is_ready = false;

  block<T, Rank> memory;
  std::array<std::ptrdiff_t, Rank> strides;

  explicit owned(block<T, Rank>&& elements) noexcept
      : memory(std::move(elements)), strides(row_major(memory.shape())) {}

  [[nodiscard]] const std::array<std::size_t, Rank>& shape() const noexcept { return memory.shape(); }
  [[nodiscard]] leaf<T, Rank> view() const noexcept { return {memory.data(), shape(), strides, memory.resource()}; }
  [[nodiscard]] leaf<T, Rank> ready(std::pmr::memory_resource*) const noexcept { return view(); }
  [[nodiscard]] T element(const std::size_t* index) const noexcept { return view().element(index); }
  void list(operand*& next) const noexcept {
    *next++ = {memory.data(), sizeof(T), Rank, shape().data(), strides.data()};
  }
  [[nodiscard]] bool is_in_step(const auto& target, std::size_t count, const void**& next) const noexcept {
    return view().is_in_step(target, count, next);
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return memory.resource(); }
  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
  [[gnu::always_inline]] inline auto row(const auto& request) const noexcept {
    return view().template row<Leaf, Slot, SlotBytes>(request);
  }
};

// Operations that have a loop of their own over neighbouring elements.
template <class Op, class T>
concept has_loop = requires(const T* from, T* to, std::size_t count) { Op::loop(from, to, count, false); };

// Operations that some elements make throw.
template <class Op, class... T>
concept can_fail = requires(T... value) { Op::fails(value...); };

// What is computed for the elements of rows, in which check_all() has looked for those that make it throw.
template <class Op>
struct in_rows {
  using type = Op;
};
template <class Op>
  requires requires { typename Op::in_rows; }
struct in_rows<Op> {
  using type = typename Op::in_rows;
};

template <class T>
inline constexpr bool is_leaf = false;
template <class T, std::size_t Rank>
inline constexpr bool is_leaf<leaf<T, Rank>> = true;
template <class T, std::size_t Rank>
inline constexpr bool is_leaf<owned<T, Rank>> = true;

// A node in which nothing is left to be computed before: itself, or a copy of pointers with the results of reductions
// in it.
template <class N>
[[nodiscard]] decltype(auto) ready(const N& node, std::pmr::memory_resource* resource) {
  if constexpr (N::is_ready)
    return (node);
  else
    return node.ready(resource);
}

// A node that is ready as what sees its elements where they are.
template <class N>
[[nodiscard]] decltype(auto) as_leaf(const N& node) {
  if constexpr (requires { node.view(); })
    return node.view();
  else
    return (node);
}

// Throws what computing some element would. For nodes that are ready.
template <class N>
void check_all(const N& node) {
  if constexpr (N::may_fail) node.check();
}

template <class Op>
struct fails {
  static bool apply(auto... value) { return Op::fails(value...); }
};

template <class N>
[[nodiscard]] auto ready_operand(const N& node, std::pmr::memory_resource* resource);
template <class Node>
[[nodiscard]] bool has_element(const Node& node, bool wanted);
template <class Node>
[[nodiscard]] typename Node::value_type value_of(const Node& node);

template <class Op, class A, class B = none, class C = none>
struct elementwise : expression_base {
 private:
  static constexpr std::size_t larger(std::size_t a, std::size_t b) { return a > b ? a : b; }

 public:
  using operation = Op;
  using value_type =
      decltype(apply_to<Op>(std::declval<typename A::value_type>(), std::declval<typename B::value_type>(),
                            std::declval<typename C::value_type>()));
  static constexpr std::size_t rank = larger(A::rank, larger(B::rank, C::rank));
  static constexpr std::size_t leaves = A::leaves + B::leaves + C::leaves;
  // An operation with a loop of its own over a result that has no loop computes a chunk first.
  static constexpr bool has_own_loop = has_loop<Op, value_type>;
  static constexpr std::size_t slots = A::slots + B::slots + C::slots + (has_own_loop ? 1 : 0);
  static constexpr std::size_t largest = larger(larger(A::largest, sizeof(value_type)), larger(B::largest, C::largest));
  static constexpr bool loops = has_own_loop || A::loops || B::loops || C::loops;
  static constexpr bool is_ready = A::is_ready && B::is_ready && C::is_ready;
  static constexpr bool calls_users_function = calls_user<Op> || calls_user<A> || calls_user<B> || calls_user<C>;
  // A divisor that the user's function gives is looked at when it is divided by, and not before.
  static constexpr bool operation_fails = can_fail<Op, typename A::value_type, typename B::value_type>;
  static constexpr bool can_fail_itself = operation_fails && !calls_users_function;
  static constexpr bool fails_while_written =
      (operation_fails && calls_users_function) || fails_late<A> || fails_late<B> || fails_late<C>;
  static constexpr bool may_fail = operation_fails || A::may_fail || B::may_fail || C::may_fail;

  elementwise(A&& first, B&& second, C&& third)
      : shape_(broadcast_shapes(broadcast_shapes(first.shape(), second.shape()), third.shape())),
        a(std::move(first)),
        b(std::move(second)),
        c(std::move(third)) {}

  [[nodiscard]] const std::array<std::size_t, rank>& shape() const noexcept { return shape_; }

  // No template: what is read becomes any arithmetic type, as a number does.
  [[nodiscard]] operator value_type() const
    requires(rank == 0)
  {
    return value_of(*this);
  }
  [[nodiscard]] value_type element(const std::size_t* index) const {
    return apply_to<Op>(part(a, index), part(b, index), part(c, index));
  }

  void list(operand*& next) const noexcept {
    a.list(next);
    b.list(next);
    c.list(next);
  }
  [[nodiscard, gnu::always_inline]] inline bool is_in_step(const auto& target, std::size_t count,
                                                           const void**& next) const noexcept {
    return a.is_in_step(target, count, next) && b.is_in_step(target, count, next) && c.is_in_step(target, count, next);
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept {
    if (auto* const resource = a.resource()) return resource;
    if (auto* const resource = b.resource()) return resource;
    return c.resource();
  }

  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
  [[gnu::always_inline]] inline auto row(const auto& request) const {
    constexpr std::size_t own = has_own_loop ? 1 : 0;
    if constexpr (has_own_loop) {
      value_type* const out = chunk_memory<Slot, value_type>(request, SlotBytes);
      const auto values = a.template row<Leaf, Slot + own, SlotBytes>(request);
      if constexpr (std::is_same_v<decltype(values), const pointer_row<value_type>>) {
        Op::loop(values.elements, out, request.count, false);
      } else {
        run_loop(rows_loop<std::remove_const_t<decltype(values)>, value_type>{values, out, request.count, one_row});
        Op::loop(out, out, request.count, false);
      }
      return pointer_row<value_type>{out};
    } else {
      auto first = a.template row<Leaf, Slot + own, SlotBytes>(request);
      auto second = b.template row<Leaf + A::leaves, Slot + own + A::slots, SlotBytes>(request);
      auto third = c.template row<Leaf + A::leaves + B::leaves, Slot + own + A::slots + B::slots, SlotBytes>(request);
      using operation_in_rows = std::conditional_t<calls_users_function, Op, typename in_rows<Op>::type>;
      return computed_row<operation_in_rows, decltype(first), decltype(second), decltype(third)>{first, second, third};
    }
  }
  [[nodiscard]] auto ready(std::pmr::memory_resource* memory) const {
    auto first = detail::ready_operand(a, memory);
    auto second = detail::ready_operand(b, memory);
    auto third = detail::ready_operand(c, memory);
    return elementwise<Op, decltype(first), decltype(second), decltype(third)>(std::move(first), std::move(second),
                                                                               std::move(third));
  }
  // Throws what computing some element would, before anything is written. For nodes that are ready.
  void check() const {
    check_all(a);
    check_all(b);
    check_all(c);
    if constexpr (can_fail_itself) {
      auto first = detail::ready(a, nullptr);
      auto second = detail::ready(b, nullptr);
      const elementwise<fails<Op>, decltype(first), decltype(second)> failing(std::move(first), std::move(second), {});
      if (has_element(failing, true)) Op::fail();
    }
  }

 private:
  // In front of the operands: behind the last of them, it was copied along with that one's end as one vector, which
  // has to wait for the parts to be written.
  std::array<std::size_t, rank> shape_;

 public:
  A a;
  [[no_unique_address]] B b;
  [[no_unique_address]] C c;

 private:
  template <class N>
  static auto part(const N& operand, const std::size_t* index) {
    return operand.element(index + (rank - N::rank));
  }
};

// An operation of a result that was computed for this evaluation, and of plain values, that gives as much of the same
// type: in the result's place, once, rather than for each element of the target to which it is repeated, as in
// x / sqrt(mean(x * x, axes<1>, keepdims) + 1e-5f).
template <class T, std::size_t Rank, class Node>
[[nodiscard]] owned<T, Rank> computed_in(owned<T, Rank>& result, const Node& node);
template <class N>
inline constexpr bool is_value = N::rank == 0 && N::leaves == 0;
template <class Node, class Result>
inline constexpr bool is_as_much =
    std::is_same_v<Result, owned<typename Node::value_type, Node::rank>> && !Node::operation_fails;

template <class N>
[[nodiscard]] N completed(N&& node) {
  return std::move(node);
}
template <class Op, class T, std::size_t Rank, class B>
  requires(is_as_much<elementwise<Op, owned<T, Rank>, B>, owned<T, Rank>> && is_value<B>)
[[nodiscard]] owned<T, Rank> completed(elementwise<Op, owned<T, Rank>, B>&& node) {
  return detail::computed_in(node.a, elementwise<Op, leaf<T, Rank>, B>(node.a.view(), std::move(node.b), {}));
}
template <class Op, class T, std::size_t Rank, class A>
  requires(is_as_much<elementwise<Op, A, owned<T, Rank>>, owned<T, Rank>> && is_value<A>)
[[nodiscard]] owned<T, Rank> completed(elementwise<Op, A, owned<T, Rank>>&& node) {
  return detail::computed_in(node.b, elementwise<Op, A, leaf<T, Rank>>(std::move(node.a), node.b.view(), {}));
}

template <class N>
[[nodiscard]] auto ready_operand(const N& node, std::pmr::memory_resource* resource) {
  if constexpr (N::is_ready)
    return node;
  else
    return detail::completed(node.ready(resource));
}

template <class Op, class A>
[[nodiscard]] auto make_elementwise(A&& a) {
  return elementwise<Op, A>(std::move(a), none{}, none{});
}
template <class Op, class A, class B>
[[nodiscard]] auto make_elementwise(A&& a, B&& b) {
  return elementwise<Op, A, B>(std::move(a), std::move(b), none{});
}
template <class Op, class A, class B, class C>
[[nodiscard]] auto make_elementwise(A&& a, B&& b, C&& c) {
  return elementwise<Op, A, B, C>(std::move(a), std::move(b), std::move(c));
}

// --- Evaluation

// What a chunk of anything that a node computes takes.
template <class T, class Node>
inline constexpr std::size_t slot_bytes = chunk * (Node::largest > sizeof(T) ? Node::largest : sizeof(T));

// Rows of a node in which operations have loops of their own.
template <class Node, class T>
struct chunks_loop {
  const Node& node;
  const row_request& first;
  const row_steps& steps;
  T* out;

  [[gnu::always_inline]] inline void operator()() const {
    const void* at[Node::leaves + 1];
    for (std::size_t k = 0; k < Node::leaves; ++k) at[k] = first.elements[k];
    const row_request here{at, first.count, first.scratch};
    T* to = out;
    for (std::size_t left = steps.rows;;) {
      write_each(node.template row<0, 0, slot_bytes<T, Node>>(here), to, here.count);
      if (--left == 0) return;
      for (std::size_t k = 0; k < Node::leaves; ++k) at[k] = static_cast<const std::byte*>(at[k]) + steps.leaves[k];
      to = reinterpret_cast<T*>(reinterpret_cast<std::byte*>(to) + steps.target);
    }
  }
};

// The row of a node without such operations, where its leaves are.
template <class Request = row_request, class Node>
[[nodiscard, gnu::always_inline]] inline auto row_at(const Node& node, const void* const* leaves) {
  return node.template row<0, 0, 0>(Request{leaves, 0, nullptr});
}
template <class Node, class T, class Request = row_request>
void write_rows(const void* memory, const row_request& request, const row_steps& steps, void* to) {
  const Node& node = *static_cast<const Node*>(memory);
  if constexpr (Node::loops) {
    alignas(64) std::byte scratch[Node::slots * slot_bytes<T, Node>];
    const row_request here{request.elements, request.count, scratch};
    run_loop(chunks_loop<Node, T>{node, here, steps, static_cast<T*>(to)});
  } else {
    auto row = row_at<Request>(node, request.elements);
    run_loop(rows_loop<decltype(row), T>{row, static_cast<T*>(to), request.count, steps});
  }
}

// Whether a node is an operation with a loop of its own over Ts, which is then run in place over what its operand is in
// the target: `finish` in row_functions, of which `write` is the operand's, as is the node of a pass. An operand that
// is finished itself is not written that way, as there is one `finish`.
template <class Node, class T>
inline constexpr bool has_finish = false;
template <class Op, class A, class T>
  requires(has_loop<Op, T> && !has_finish<A, T>)
inline constexpr bool has_finish<elementwise<Op, A>, T> = std::is_same_v<typename elementwise<Op, A>::value_type, T>;

// The loops in which one leaf repeats an element along each row, as the column in `matrix * column`. Compiled only for
// few leaves: each takes time.
template <class T, class Node, std::size_t... Leaf>
[[nodiscard]] consteval auto repeating_writers(std::index_sequence<Leaf...>) {
  return std::array<rows_writer, sizeof...(Leaf)>{&write_rows<Node, T, repeating_request<Leaf>>...};
}
template <class T, class Node>
inline constexpr auto repeating_rows = detail::repeating_writers<T, Node>(std::make_index_sequence<Node::leaves>());
template <class Node>
inline constexpr bool has_repeating_rows = Node::rank > 1 && (Node::leaves == 1 || Node::leaves == 2) && !Node::loops;

// What the library has to know of a node whose elements are wanted as Ts.
template <class T, class Node>
inline constexpr row_functions functions_of = [] {
  row_functions functions{nullptr, nullptr, nullptr, sizeof(T), false};
  constexpr bool is_there = is_leaf<Node> && std::is_same_v<typename Node::value_type, T>;
  if constexpr (has_finish<Node, T>) {
    functions = functions_of<T, decltype(Node::a)>;
    functions.finish = [](const void* from, void* to, std::size_t count, bool past_caches) {
      Node::operation::loop(static_cast<const T*>(from), static_cast<T*>(to), count, past_caches);
    };
  } else if constexpr (!is_there) {
    functions.write = &write_rows<Node, T>;
    if constexpr (has_repeating_rows<Node>) functions.repeating = repeating_rows<T, Node>.data();
    functions.in_chunks = Node::loops;
  }
  return functions;
}();

// What a pass over a node's elements needs, on the stack of who asks for it. The shapes are the target's and the
// node's.
template <class T, class Node, std::size_t Rank>
class pass {
 public:
  pass(const Node& node, const operand& target) noexcept : source_{&node, functions_of<T, Node>, operands_, operands} {
    operands_[0] = target;
    operand* next = operands_ + 1;
    node.list(next);
    if constexpr (has_finish<Node, T>) source_.node = &node.a;
  }
  pass(const pass&) = delete;

  [[nodiscard]] row_source& source() noexcept { return source_; }
  [[nodiscard]] nest loops() noexcept { return memory_.empty(); }

 private:
  static constexpr std::size_t operands = 1 + Node::leaves;
  static_assert(operands <= most_operands && Rank <= most_dimensions, "too many operands or dimensions");

  row_source source_;
  operand operands_[operands];
  nest_memory<operands, Rank> memory_;
};

// ... over all of them, which go nowhere.
template <class T, class Node>
class reading_pass {
 public:
  explicit reading_pass(const Node& node) noexcept
      : shape_(node.shape()),
        strides_(row_major(shape_)),
        pass_(node, {nullptr, sizeof(T), Node::rank, shape_.data(), strides_.data()}) {}

  [[nodiscard]] row_source& source() noexcept { return pass_.source(); }
  [[nodiscard]] nest loops() noexcept { return pass_.loops(); }

 private:
  std::array<std::size_t, Node::rank> shape_;
  std::array<std::ptrdiff_t, Node::rank> strides_;
  pass<T, Node, Node::rank> pass_;
};

// Whether some element of a node that is ready is that one.
template <class Node>
[[nodiscard]] bool has_element(const Node& node, bool wanted) {
  reading_pass<bool, Node> here(node);
  return find_element(here.source(), here.loops(), wanted);
}

// Nodes that write their elements into a target by themselves, and are computed before what they are part of.
template <class Node>
concept self_evaluating = requires { typename Node::self_evaluating; };

// Whether a node that is ready has the target's shape and neither it nor the target has gaps, as most have; then all is
// one row, and nothing to arrange. Says where its leaves begin.
template <class T, std::size_t Rank, class Node>
[[nodiscard, gnu::always_inline]] inline bool is_one_row(const strided<T, Rank>& target, const Node& node,
                                                         std::size_t count, const void** leaves) noexcept {
  return count * sizeof(T) < least_streamed && node.is_in_step(target, count, leaves) &&
         is_row_major(target.shape, target.strides);
}

// Nodes that need no more than a loop where they are one row.
template <class Node, std::size_t Rank>
concept only_a_loop = !self_evaluating<Node> && Node::is_ready && !Node::may_fail && !Node::loops &&
                      (Node::rank == Rank || (Node::rank == 0 && Node::leaves == 0));

// The fast path of small arrays, inlined into the caller: when all is one row, or the node has a write_at_once(), runs
// that and returns true; else does nothing and returns false. No address of the node escapes, so that it can stay in
// registers.
template <class T, std::size_t Rank, class Node>
[[nodiscard, gnu::always_inline]] inline bool write_one_row(const strided<T, Rank>& target, const Node& node) {
  if constexpr (only_a_loop<Node, Rank>) {
    const void* leaves[Node::leaves + 1];
    const std::size_t count = product(target.shape);
    if (!is_one_row(target, node, count, leaves)) return false;
    auto row = row_at(node, leaves);
    run_loop(rows_loop<decltype(row), T>{row, target.data, count, one_row});
    return true;
  } else if constexpr (requires { node.write_at_once(target); }) {
    return node.write_at_once(target);
  } else {
    return false;
  }
}

// x as the argument of a function that is not inlined, on the slow path. A copy where that is cheap: the address of x
// itself would force it into memory on the fast path, too.
template <class Node, std::size_t Rank, class X>
[[nodiscard, gnu::always_inline]] inline decltype(auto) handed_over(const X& x) noexcept {
  if constexpr (only_a_loop<Node, Rank> && std::is_trivially_copyable_v<X>)
    return X(x);
  else
    return (x);
}

// Writes a node that is ready into a target of the same shape, or to which it broadcasts, when write_one_row() has not
// done it; false, with nothing done, where that would change elements that are still to be read, which is not looked at
// when the target is known to be `apart` from all operands. Throws what computing an element would, with nothing done.
template <class T, std::size_t Rank, class Node, class Threads>
[[nodiscard]] bool write_ready(const strided<T, Rank>& target, const Node& node, Threads, bool apart = false) {
  check_all(node);
  const void* at[1 + Node::leaves];
  const std::size_t count = product(target.shape);
  bool in_one_row = false;
  if constexpr (!Threads::parallel && !only_a_loop<Node, Rank>) in_one_row = is_one_row(target, node, count, at + 1);
  pass<T, Node, Rank> here(node, target.as_operand());
  if (!in_one_row) return write_elements(here.source(), here.loops(), Threads::parallel, apart);
  write_row(here.source(), at, count);
  return true;
}

// A result of which the node makes another one, in its place.
template <class T, std::size_t Rank, class Node>
[[nodiscard]] owned<T, Rank> computed_in(owned<T, Rank>& result, const Node& node) {
  const strided<T, Rank> target{result.memory.data(), result.shape(), result.strides};
  if (!write_one_row(target, node)) static_cast<void>(write_ready(target, node, on_this_thread{}));
  return std::move(result);
}

// Writes any node into a target of the same shape, or to which it broadcasts, and which is nobody's operand.
template <class T, std::size_t Rank, class Node, class Threads>
void evaluate_into(const strided<T, Rank>& target, const Node& node, Threads threads,
                   std::pmr::memory_resource* resource) {
  if constexpr (self_evaluating<Node>) {
    if (numel(target.shape) != 0) node.evaluate_into(target, threads, resource);
  } else if constexpr (!Node::is_ready) {
    evaluate_into(target, node.ready(resource), threads, resource);
  } else {
    if constexpr (!Threads::parallel)
      if (write_one_row(target, node)) return;
    static_cast<void>(write_ready(target, node, threads, true));
  }
}

// A node's elements in memory of the resource. What else it needs is allocated later and given back before, as a bump
// or slab resource likes it.
template <class T, class Node, class Threads>
[[nodiscard]] block<T, Node::rank> evaluated(const Node& node, Threads threads, std::pmr::memory_resource* resource) {
  block<T, Node::rank> result(node.shape(), resource);
  evaluate_into(strided<T, Node::rank>{result.data(), result.shape(), row_major(result.shape())}, node, threads,
                resource);
  return result;
}

// What is computed as a whole before the expression that it is part of.
struct computed_before : expression_base {
  using self_evaluating = void;
  static constexpr std::size_t slots = 0;
  static constexpr bool loops = false, is_ready = false;

  template <class Self>
  [[nodiscard]] auto ready(this const Self& self, std::pmr::memory_resource* resource) {
    using T = typename Self::value_type;
    return owned<T, Self::rank>(evaluated<T>(self, on_this_thread{}, resource));
  }
};

// An expression that somebody else holds.
template <class E>
struct borrowed_base : expression_base {
  static constexpr std::size_t slots = 0;
  static constexpr bool loops = false, is_ready = false;

  [[nodiscard]] auto ready(std::pmr::memory_resource* memory) const { return detail::ready(*of, memory); }

  const E* of;
};
template <self_evaluating E>
struct borrowed_base<E> : computed_before {
  template <class T, class Threads>
  void evaluate_into(const strided<T, E::rank>& target, Threads threads, std::pmr::memory_resource* memory) const {
    of->evaluate_into(target, threads, memory);
  }

  const E* of;
};
template <class E>
struct borrowed : borrowed_base<E> {
  using value_type = typename E::value_type;
  static constexpr std::size_t rank = E::rank, leaves = E::leaves, largest = E::largest;
  static constexpr bool may_fail = E::may_fail, calls_users_function = calls_user<E>,
                        fails_while_written = fails_late<E>;

  explicit borrowed(const E& expression) noexcept { this->of = &expression; }

  [[nodiscard]] decltype(auto) shape() const noexcept { return this->of->shape(); }
  [[nodiscard]] value_type element(const std::size_t* index) const { return this->of->element(index); }
  void list(operand*& next) const noexcept { this->of->list(next); }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return this->of->resource(); }
};

// The resource for what evaluation needs beside the target: the target's or, where that has none, an operand's.
template <class Node>
[[nodiscard]] std::pmr::memory_resource* resource_for(std::pmr::memory_resource* resource, const Node& node) {
  if (resource == nullptr) resource = node.resource();
  return resource != nullptr ? resource : std::pmr::get_default_resource();
}

// The value of an expression of no dimensions.
template <class Node>
[[nodiscard]] typename Node::value_type value_of(const Node& node) {
  const auto result = evaluated<typename Node::value_type>(node, on_this_thread{}, resource_for(nullptr, node));
  return *result.data();
}

template <class Node>
[[nodiscard]] overlap overlap_with(const operand& target, const Node& node) noexcept {
  operand list[Node::leaves + 1];
  operand* next = list;
  node.list(next);
  return overlap_of(target, list, Node::leaves);
}

// --- Operands of operators and functions

template <class X>
concept operand_expression = expression<X> && requires(X&& x) { std::forward<X>(x).node(); };
template <class X>
concept scalar_operand = element<std::remove_cvref_t<X>>;
template <class... X>
concept operands = ((operand_expression<X> || scalar_operand<X>) && ...) && (expression<X> || ...);

// x in `target += x`.
template <class X, class Target>
concept update_of = operands<const Target&, X> && (scalar_operand<X> || std::remove_cvref_t<X>::rank <= Target::rank);

template <class X>
[[nodiscard]] auto as_node(X&& x) {
  if constexpr (expression<X>)
    return std::forward<X>(x).node();
  else
    return scalar<std::remove_cvref_t<X>>(x);
}

template <class Op, class... X>
[[nodiscard]] auto apply(X&&... x) {
  return detail::make_elementwise<Op>(detail::as_node(std::forward<X>(x))...);
}

}  // namespace buffers::detail
