// Expressions: what `a * b + exp(c)` is until it is evaluated. An expression is a small tree of nodes by value. At its
// leaves are pointers with a shape and strides (an operand that was an lvalue), memory of its own (an operand that was
// an rvalue) or plain values; its shape is known, and checked, when it is made.
//
//     a * b + exp(c)               elementwise<add>            evaluated row by row of the common shape: each leaf
//                                   /            \             gives a pointer to its part of the row, and one loop
//                    elementwise<multiply>    elementwise<exp>  computes the row straight into the target
//                       /         \               |
//                     leaf a     leaf b         leaf c
//
// A row whose elements are not neighbours, or all the same, is brought into a chunk of the stack first, so that there
// is one loop over plain pointers, which compilers vectorise, whatever the strides are. Reductions inside of a larger
// expression are computed before, into memory of the resource that evaluation uses.
//
//   operation               cost                       what it does
//   shape, numel, rank      O(1)                       of the result
//   e[i...], e.at(i...)     one element's computation  an element; at() checks, negative indices count from the end
//   evaluate(e, &resource)  as the loops               a tensor (see also tensor's constructor and assignment)
//   to_nested()             O(numel)                   nested std::vectors
//
// Threads: an expression reads its operands whenever it is asked for elements.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
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
    std::size_t count = 1;
    for (const std::size_t extent : self.shape()) count *= extent;
    return count;
  }
  /// Computes one element. Negative indices count from the end; not checked.
  template <class Self, std::integral... I>
    requires(sizeof...(I) == Self::rank)
  [[nodiscard]] auto operator[](this const Self& self, I... index) {
    [[maybe_unused]] std::size_t d = 0;
    const std::array<std::size_t, sizeof...(I)> at{
        static_cast<std::size_t>(detail::place(index, self.shape()[d++]))...};
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
  /// The value of an expression of no dimensions.
  template <class Self>
    requires(Self::rank == 0)
  [[nodiscard]] operator typename Self::value_type(this const Self& self) {
    return self.element(nullptr);
  }

  // An expression that owns a temporary cannot be copied: it becomes an operand by std::move.
  template <class Self>
    requires std::constructible_from<std::remove_cvref_t<Self>, Self>
  auto node(this Self&& self) -> std::remove_cvref_t<Self> {
    return std::forward<Self>(self);
  }
};

}  // namespace buffers

namespace buffers::detail {

// Where results go.
template <class T, std::size_t Rank>
struct strided {
  T* data;
  std::array<std::size_t, Rank> shape;
  std::array<std::ptrdiff_t, Rank> strides;

  [[nodiscard]] operand as_operand() const noexcept { return {data, sizeof(T), Rank, shape.data(), strides.data()}; }
};

// --- Rows: what a part of a row is for the loop that computes it.

template <class T>
struct pointer_row {
  const T* elements;
  T at(std::size_t i) const { return elements[i]; }
};

template <class T>
struct value_row {
  T value;
  T at(std::size_t) const { return value; }
};

// The operand that an operation of fewer operands does not have.
struct none {
  static constexpr std::size_t rank = 0, leaves = 0, slots = 0, largest = 1;
  static constexpr bool may_fail = false, loops = false, is_ready = true;

  [[nodiscard]] static constexpr std::array<std::size_t, 0> shape() noexcept { return {}; }
  static constexpr void list(operand*&) noexcept {}
  static constexpr bool every_leaf(auto) noexcept { return true; }
  [[nodiscard]] static constexpr std::pmr::memory_resource* resource() noexcept { return nullptr; }
  static constexpr void check() noexcept {}
  template <std::size_t, std::size_t, std::size_t>
  static none row(const row_request&) noexcept {
    return {};
  }
};

template <class Op, class A, class B, class C>
struct computed_row {
  [[no_unique_address]] A a;
  [[no_unique_address]] B b;
  [[no_unique_address]] C c;
  [[gnu::always_inline]] inline auto at(std::size_t i) const {
    if constexpr (std::is_same_v<B, none>)
      return Op::apply(a.at(i));
    else if constexpr (std::is_same_v<C, none>)
      return Op::apply(a.at(i), b.at(i));
    else
      return Op::apply(a.at(i), b.at(i), c.at(i));
  }
};

// The loop. Nothing else writes elements. An element may be where operands of the same index are. It goes by pieces of
// 512 bytes. Where the next one will be is fetched ahead: processors do that by themselves for what is read, but hardly
// for what is written. Past the caches, what fills lines is put together first.
template <class Row, class T>
[[gnu::always_inline]] inline void write_each(const Row& row, T* out, std::size_t count, bool past_caches) {
  constexpr std::size_t line = 64 / sizeof(T), piece = 8 * line;
  alignas(64) T lines[piece];
  for (std::size_t i = 0, n; i < count; i += n) {
    n = count - i < piece ? count - i : piece;
    T* to = out + i;
    bool by_line = false;
    if (past_caches) [[unlikely]] {
      const std::size_t before = (0 - reinterpret_cast<std::uintptr_t>(to)) % 64 / sizeof(T);
      n = before != 0 ? (before < n ? before : n) : n < line ? n : n / line * line;
      by_line = before == 0 && n >= line;
      if (by_line) to = launder_origin(lines);  // GCC does not see that they are written before they are read
    } else if (n == piece) {
      prefetch_for_write<512>(reinterpret_cast<std::uintptr_t>(to + piece));
    }
    for_each_independent(n, [&](std::size_t k) __attribute__((always_inline)) { to[k] = converted<T>(row.at(i + k)); });
    if (by_line) store_past_caches(out + i, to, n * sizeof(T));
  }
}
template <class Row, class T>
struct write_loop {
  Row row;
  T* out;
  std::size_t count;
  // From a copy, of which the compiler knows that nobody else can change it.
  [[gnu::always_inline]] inline void operator()() const { write_each(Row(row), out, count, false); }
};
template <class Row, class T>
void write(const Row& row, T* out, std::size_t count) {
  run_loop(write_loop<Row, T>{row, out, count});
}

template <std::size_t Slot, class T>
[[nodiscard]] T* chunk_memory(const row_request& request, std::size_t slot_bytes) noexcept {
  return reinterpret_cast<T*>(request.scratch + Slot * slot_bytes);
}

// --- Nodes

template <element T>
struct scalar : expression_base {
  using value_type = T;
  static constexpr std::size_t rank = 0, leaves = 0, slots = 0, largest = sizeof(T);
  static constexpr bool may_fail = false, loops = false, in_chunks = false, is_ready = true;

  T value;

  explicit scalar(T v) : value(v) {}
  [[nodiscard]] std::array<std::size_t, 0> shape() const noexcept { return {}; }
  [[nodiscard]] T element(const std::size_t*) const noexcept { return value; }
  static void check() noexcept {}
  void list(operand*&) const noexcept {}
  [[nodiscard]] static bool every_leaf(auto) noexcept { return true; }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return nullptr; }
  template <std::size_t, std::size_t, std::size_t>
  [[gnu::always_inline]] inline value_row<T> row(const row_request&) const noexcept {
    return {value};
  }
};

template <element T, std::size_t Rank>
struct leaf : expression_base {
  using value_type = T;
  static constexpr std::size_t rank = Rank, leaves = 1, slots = 1, largest = sizeof(T);
  static constexpr bool may_fail = false, loops = false, in_chunks = false, is_ready = true;

  const T* data;
  std::array<std::size_t, Rank> extents;
  std::array<std::ptrdiff_t, Rank> strides;
  std::pmr::memory_resource* memory;

  leaf(const T* d, const std::array<std::size_t, Rank>& e, const std::array<std::ptrdiff_t, Rank>& s,
       std::pmr::memory_resource* m) noexcept
      : data(d), extents(e), strides(s), memory(m) {}

  [[nodiscard]] const std::array<std::size_t, Rank>& shape() const noexcept { return extents; }
  static void check() noexcept {}
  [[nodiscard]] T element(const std::size_t* index) const noexcept {
    std::ptrdiff_t offset = 0;
    for (std::size_t d = 0; d < Rank; ++d)
      offset += extents[d] == 1 ? 0 : static_cast<std::ptrdiff_t>(index[d]) * strides[d];
    return data[offset];
  }
  void list(operand*& next) const noexcept { *next++ = {data, sizeof(T), Rank, extents.data(), strides.data()}; }
  // Whether f(leaf) is true for each leaf of a node.
  [[nodiscard]] bool every_leaf(auto f) const noexcept { return f(*this); }
  // Whether elements of the same index are at the same distance from the first one as with these strides.
  template <std::size_t N>
  [[nodiscard]] bool lies(const std::array<std::size_t, N>& shape,
                          const std::array<std::ptrdiff_t, N>& steps) const noexcept {
    if constexpr (N == Rank)
      return are_equal(extents, shape) && are_equal(strides, steps);
    else
      return false;
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return memory; }

  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
  [[gnu::always_inline]] inline pointer_row<T> row(const row_request& request) const noexcept {
    const std::ptrdiff_t step = request.steps[Leaf];
    const T* const first = data + request.offsets[Leaf] + static_cast<std::ptrdiff_t>(request.first) * step;
    if (step == 1) return {first};
    T* const elements = chunk_memory<Slot, T>(request, SlotBytes);
    gather(elements, first, step, request.count, sizeof(T));
    return {elements};
  }
};

// A tensor that the expression owns: an operand that was an rvalue, or the result of a reduction inside.
template <element T, std::size_t Rank>
struct owned : expression_base {
  using value_type = T;
  static constexpr std::size_t rank = Rank, leaves = 1, slots = 1, largest = sizeof(T);
  static constexpr bool may_fail = false, loops = false, is_ready = false;

  block<T, Rank> memory;
  std::array<std::ptrdiff_t, Rank> strides;

  explicit owned(block<T, Rank>&& elements) noexcept
      : memory(std::move(elements)), strides(row_major(memory.shape())) {}

  [[nodiscard]] const std::array<std::size_t, Rank>& shape() const noexcept { return memory.shape(); }
  [[nodiscard]] leaf<T, Rank> view() const noexcept { return {memory.data(), shape(), strides, memory.resource()}; }
  [[nodiscard]] leaf<T, Rank> ready(std::pmr::memory_resource*) const noexcept { return view(); }
  static void check() noexcept {}
  [[nodiscard]] T element(const std::size_t* index) const noexcept { return view().element(index); }
  void list(operand*& next) const noexcept {
    *next++ = {memory.data(), sizeof(T), Rank, shape().data(), strides.data()};
  }
  [[nodiscard]] bool every_leaf(auto f) const noexcept { return f(view()); }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept { return memory.resource(); }
  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
  [[gnu::always_inline]] inline pointer_row<T> row(const row_request& request) const noexcept {
    return view().template row<Leaf, Slot, SlotBytes>(request);
  }
};

// Operations that have a loop of their own over neighbouring elements.
template <class Op, class T>
concept has_loop = requires(const T* from, T* to, std::size_t count) { Op::loop(from, to, count, false); };

// Operations that some elements make throw.
template <class Op, class... T>
concept can_fail = requires(T... value) { Op::fails(value...); };

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

template <class Op>
struct fails {
  static bool apply(auto... value) { return Op::fails(value...); }
};

template <class T, class Node, class F>
void visit_chunks(const Node& node, F f);

template <class Op, class A, class B = none, class C = none>
struct elementwise : expression_base {
  static constexpr auto operands = std::is_same_v<B, none> ? 1 : std::is_same_v<C, none> ? 2 : 3;

 private:
  static auto result(auto&&... value) {
    if constexpr (operands == 1) {
      return [](auto a, auto...) { return Op::apply(a); }(value...);
    } else if constexpr (operands == 2) {
      return [](auto a, auto b, auto...) { return Op::apply(a, b); }(value...);
    } else {
      return Op::apply(value...);
    }
  }
  template <class N>
  static constexpr auto zero_of() {
    if constexpr (!std::is_same_v<N, none>)
      return typename N::value_type{};
    else
      return none{};
  }
  static constexpr std::size_t larger(std::size_t a, std::size_t b) { return a > b ? a : b; }

 public:
  using operation = Op;
  using value_type = decltype(result(zero_of<A>(), zero_of<B>(), zero_of<C>()));
  static constexpr std::size_t rank = larger(A::rank, larger(B::rank, C::rank));
  static constexpr std::size_t leaves = A::leaves + B::leaves + C::leaves;
  // An operation with a loop of its own over a result that has no loop computes a chunk first.
  static constexpr bool has_own_loop = [] {
    if constexpr (operands == 1)
      return has_loop<Op, value_type>;
    else
      return false;
  }();
  static constexpr std::size_t slots = A::slots + B::slots + C::slots + (has_own_loop ? 1 : 0);
  static constexpr std::size_t largest = larger(larger(A::largest, sizeof(value_type)), larger(B::largest, C::largest));
  static constexpr bool loops = has_own_loop || A::loops || B::loops || C::loops;
  // Whether it writes no more than a chunk at a time into a target: where something is computed before.
  static constexpr bool in_chunks =
      has_own_loop ? !(is_leaf<A> && std::is_same_v<typename A::value_type, value_type>) : loops;
  static constexpr bool is_ready = A::is_ready && B::is_ready && C::is_ready;
  static constexpr bool can_fail_itself = [] {
    if constexpr (operands == 2)
      return can_fail<Op, typename A::value_type, typename B::value_type>;
    else
      return false;
  }();
  static constexpr bool may_fail = can_fail_itself || A::may_fail || B::may_fail || C::may_fail;

  elementwise(A&& first, B&& second, C&& third)
      : a(std::move(first)),
        b(std::move(second)),
        c(std::move(third)),
        shape_(broadcast_shapes(broadcast_shapes(a.shape(), b.shape()), c.shape())) {}

  [[nodiscard]] const std::array<std::size_t, rank>& shape() const noexcept { return shape_; }

  [[nodiscard]] value_type element(const std::size_t* index) const {
    if constexpr (operands == 1)
      return Op::apply(part(a, index));
    else if constexpr (operands == 2)
      return Op::apply(part(a, index), part(b, index));
    else
      return Op::apply(part(a, index), part(b, index), part(c, index));
  }

  void list(operand*& next) const noexcept {
    a.list(next);
    b.list(next);
    c.list(next);
  }
  [[nodiscard, gnu::always_inline]] inline bool every_leaf(auto f) const noexcept {
    return a.every_leaf(f) && b.every_leaf(f) && c.every_leaf(f);
  }
  [[nodiscard]] std::pmr::memory_resource* resource() const noexcept {
    if (auto* const resource = a.resource()) return resource;
    if (auto* const resource = b.resource()) return resource;
    return c.resource();
  }

  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
  [[gnu::always_inline]] inline auto row(const row_request& request) const {
    constexpr std::size_t own = has_own_loop ? 1 : 0;
    if constexpr (has_own_loop) {
      value_type* const out = chunk_memory<Slot, value_type>(request, SlotBytes);
      write_row<Leaf, Slot, SlotBytes>(request, out, false);
      return pointer_row<value_type>{out};
    } else {
      auto first = a.template row<Leaf, Slot + own, SlotBytes>(request);
      auto second = b.template row<Leaf + A::leaves, Slot + own + A::slots, SlotBytes>(request);
      auto third = c.template row<Leaf + A::leaves + B::leaves, Slot + own + A::slots + B::slots, SlotBytes>(request);
      return computed_row<Op, decltype(first), decltype(second), decltype(third)>{first, second, third};
    }
  }
  // For an operation with a loop of its own: straight into the target.
  template <std::size_t Leaf, std::size_t Slot, std::size_t SlotBytes>
    requires has_own_loop
  void write_row(const row_request& request, value_type* out, bool past_caches) const {
    const auto operand_row = a.template row<Leaf, Slot + 1, SlotBytes>(request);
    if constexpr (std::is_same_v<decltype(operand_row), const pointer_row<value_type>>) {
      Op::loop(operand_row.elements, out, request.count, past_caches);
    } else {
      value_type* const values = past_caches ? chunk_memory<Slot, value_type>(request, SlotBytes) : out;
      write(operand_row, values, request.count);
      Op::loop(values, out, request.count, past_caches);
    }
  }

  [[nodiscard]] auto ready(std::pmr::memory_resource* memory) const {
    auto first = detail::ready(a, memory);
    auto second = detail::ready(b, memory);
    auto third = detail::ready(c, memory);
    return elementwise<Op, decltype(first), decltype(second), decltype(third)>(std::move(first), std::move(second),
                                                                               std::move(third));
  }
  // Throws what computing some element would, before anything is written. For nodes that are ready.
  void check() const {
    if constexpr (A::may_fail) a.check();
    if constexpr (B::may_fail) b.check();
    if constexpr (C::may_fail) c.check();
    if constexpr (can_fail_itself) {
      auto first = detail::ready(a, nullptr);
      auto second = detail::ready(b, nullptr);
      const elementwise<fails<Op>, decltype(first), decltype(second)> failing(std::move(first), std::move(second), {});
      visit_chunks<bool>(failing, [](const bool* fails, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
          if (fails[i]) Op::fail();
        return false;
      });
    }
  }

  A a;
  [[no_unique_address]] B b;
  [[no_unique_address]] C c;

 private:
  template <class N>
  static auto part(const N& operand, const std::size_t* index) {
    return operand.element(index + (rank - N::rank));
  }

  std::array<std::size_t, rank> shape_;
};

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

// A node's rows from a place in the loops on, each as neighbouring elements in `out`. Row after row is `strides`
// further, in the target (the first of them) and in each leaf (the others, `pitch` apart).
template <class Node, std::size_t SlotBytes, class T>
struct rows_loop {
  const Node& node;
  const row_request& first;
  const row_steps& steps;
  T* out;
  bool past_caches;

  [[gnu::always_inline]] inline void operator()() const {
    std::ptrdiff_t offsets[Node::leaves + 1];
    for (std::size_t k = 0; k < Node::leaves; ++k) offsets[k] = first.offsets[k];
    row_request request = first;
    request.offsets = offsets;
    T* to = out;
    for (std::size_t left = steps.rows;;) {
      write_each(node.template row<0, 0, SlotBytes>(request), to, request.count, past_caches);
      if (--left == 0) return;
      for (std::size_t k = 0; k < Node::leaves; ++k) offsets[k] += steps.strides[(k + 1) * steps.pitch];
      to += steps.strides[0];
    }
  }
};
template <class Node, std::size_t SlotBytes, class T>
void write_rows(const Node& node, const row_request& request, const row_steps& steps, T* out, bool past_caches) {
  if constexpr (requires { node.template write_row<0, 0, SlotBytes>(request, out, past_caches); }) {
    std::ptrdiff_t offsets[Node::leaves];
    for (std::size_t k = 0; k < Node::leaves; ++k) offsets[k] = request.offsets[k];
    row_request next = request;
    next.offsets = offsets;
    // Of short rows that follow each other, several operands are computed before the operation's loop is called.
    const std::size_t together =
        steps.rows > 1 && steps.strides[0] == static_cast<std::ptrdiff_t>(request.count) ? chunk / request.count : 1;
    for (std::size_t left = steps.rows, rows;;) {
      rows = left < together ? left : together;
      if (rows > 1) {
        write_rows<decltype(node.a), SlotBytes>(node.a, next, {rows, steps.strides, steps.pitch}, out, false);
        Node::operation::loop(out, out, rows * request.count, false);
      } else {
        rows = 1;
        node.template write_row<0, 0, SlotBytes>(next, out, past_caches);
      }
      if ((left -= rows) == 0) return;
      const auto down = static_cast<std::ptrdiff_t>(rows);
      for (std::size_t k = 0; k < Node::leaves; ++k) offsets[k] += down * steps.strides[(k + 1) * steps.pitch];
      out += down * steps.strides[0];
    }
  } else {
    run_loop(rows_loop<Node, SlotBytes, T>{node, request, steps, out, past_caches});
  }
}

// ... where they are, if they are Ts and neighbours, or in `chunk_of_elements`.
template <class T, std::size_t SlotBytes, class Node>
[[nodiscard]] const T* row_elements(const Node& node, const row_request& request, T* chunk_of_elements) {
  const auto row = node.template row<0, 0, SlotBytes>(request);
  if constexpr (requires {
                  { row.elements } -> std::convertible_to<const T*>;
                })
    return row.elements;
  else
    write(row, chunk_of_elements, request.count);
  return chunk_of_elements;
}

// Whether no byte is in two elements of different index, of as many of both without gaps.
template <class T, class U>
[[nodiscard]] bool is_independent(const T* target, const U* operand, std::size_t count) noexcept {
  const auto its = reinterpret_cast<std::uintptr_t>(target), ours = reinterpret_cast<std::uintptr_t>(operand);
  return ours + count * sizeof(U) <= its || its + count * sizeof(T) <= ours || (ours == its && sizeof(T) == sizeof(U));
}

// Writes a node's elements where the target and all operands have one shape and lie row by row without gaps, as most
// do: elements of the same index are at the same distance from the first, and one loop without anything to arrange does
// it all. False, with nothing done, where it is not that, or the target is large.
template <class T, std::size_t Rank, class Node>
[[nodiscard]] bool written_in_step(const strided<T, Rank>& target, const Node& node) {
  if constexpr (Node::leaves == 0 || Rank == 0) {
    return false;
  } else {
    const std::size_t count = numel(target.shape);
    if (count * sizeof(T) >= least_streamed || !is_row_major(target.shape, target.strides)) return false;
    const bool in_step = node.every_leaf([&](const auto& leaf) {
      return leaf.lies(target.shape, target.strides) && is_independent(target.data, leaf.data, count);
    });
    if (!in_step) return false;
    std::ptrdiff_t offsets[Node::leaves] = {}, steps[Node::leaves];
    for (std::ptrdiff_t& step : steps) step = 1;
    constexpr row_steps once{1, nullptr, 0};
    if constexpr (Node::in_chunks) {
      alignas(64) std::byte scratch[Node::slots * slot_bytes<T, Node>];
      for (std::size_t i = 0; i < count; i += chunk) {
        const row_request request{offsets, steps, i, count - i < chunk ? count - i : chunk, scratch};
        write_rows<Node, slot_bytes<T, Node>>(node, request, once, target.data + i, false);
      }
    } else {
      const row_request request{offsets, steps, 0, count, nullptr};
      write_rows<Node, slot_bytes<T, Node>>(node, request, once, target.data, false);
    }
    return true;
  }
}

// A pass over the target's elements: what it needs to know of their types.
template <class T, class Node, std::size_t Rank>
struct elementwise_pass {
  static constexpr std::size_t operands = 1 + Node::leaves;
  static constexpr std::size_t bytes = slot_bytes<T, Node>;

  nest<operands, Rank> loops;
  row_pass rows;

  elementwise_pass(const Node& node, const strided<T, Rank>& target, bool overlapping) {
    operand list[operands];
    list[0] = target.as_operand();
    operand* next = list + 1;
    node.list(next);
    arrange(loops.ref(), list);
    rows = {loops.view(), loops.rank, &node, &write, &run, target.data, sizeof(T), Node::in_chunks, overlapping};
  }
  elementwise_pass(const elementwise_pass&) = delete;

 private:
  static void write(const void* node, const row_request& request, const row_steps& steps, void* out, bool past_caches) {
    write_rows<Node, bytes>(*static_cast<const Node*>(node), request, steps, static_cast<T*>(out), past_caches);
  }
  static void run(const row_pass& pass, std::size_t first_row, std::size_t last_row, std::size_t first,
                  std::size_t last) {
    alignas(64) std::byte scratch[(Node::slots + 1) * bytes];
    std::ptrdiff_t offsets[operands], steps[operands];
    std::size_t index[decltype(loops)::pitch] = {};
    write_part(pass, {offsets, steps, index, scratch, scratch + Node::slots * bytes}, first_row, last_row, first, last);
  }
};

// f(elements, count) for all elements of a node that is ready, as Ts, in the order in which memory is walked best,
// until f returns true. Elements that are Ts and neighbours are seen where they are.
template <class T, class Node, class F>
void visit_chunks(const Node& node, F f) {
  constexpr std::size_t rank = Node::rank, operands = 1 + Node::leaves;
  constexpr std::size_t bytes = slot_bytes<T, Node>;
  const std::array<std::size_t, rank> shape = node.shape();
  const std::size_t elements = numel(shape);
  if (elements == 0) return;
  constexpr bool in_place = is_leaf<Node> && std::is_same_v<typename Node::value_type, T>;
  if constexpr (in_place)
    if (is_row_major(node.extents, node.strides)) return static_cast<void>(f(node.data, elements));
  const std::array<std::ptrdiff_t, rank> in_order = row_major(shape);
  operand list[operands];
  operand* next = list + 1;
  node.list(next);
  list[0] = {nullptr, sizeof(T), rank, shape.data(), in_order.data()};  // whose order of dimensions is taken
  if constexpr (operands > 1 && rank > 0)
    if (list[1].rank == rank && std::memcmp(shape.data(), list[1].shape, rank * sizeof(std::size_t)) == 0)
      list[0].strides = list[1].strides;
  nest<operands, rank> loops;
  if (node.every_leaf([&](const auto& leaf) { return leaf.lies(shape, in_order); }))
    loops.flatten(elements);
  else
    arrange(loops.ref(), list);
  alignas(64) std::byte scratch[(Node::slots + 1) * bytes];
  T* const chunk_of_elements = reinterpret_cast<T*>(scratch + Node::slots * bytes);
  const std::size_t inner = loops.rank - 1, rows = loops.steps(0, inner), columns = loops.shape[inner];
  std::ptrdiff_t steps[operands];
  for (std::size_t k = 0; k < operands; ++k) steps[k] = loops.stride(k, inner);
  const std::size_t pace = in_place && steps[operands - 1] == 1 ? columns : chunk;
  place_in<operands, rank> place(loops);
  for (std::size_t row = 0; row < rows; ++row, place.next(0, inner))
    for (std::size_t i = 0; i < columns; i += pace) {
      const std::size_t count = columns - i < pace ? columns - i : pace;
      const row_request request{place.offset + 1, steps + 1, i, count, scratch};
      if (f(row_elements<T, bytes>(node, request, chunk_of_elements), count)) return;
    }
}

// Nodes that write their elements into a target by themselves, and are computed before what they are part of.
template <class Node>
concept self_evaluating = requires { typename Node::self_evaluating; };

// Computes a node into a target of the same shape (or to which it broadcasts). The node is ready, or evaluates itself.
// `overlapping` is true when the target's elements are also operands' elements of the same index.
template <class T, std::size_t Rank, class Node, class Threads>
void evaluate_into(const strided<T, Rank>& target, const Node& node, bool overlapping, Threads threads,
                   std::pmr::memory_resource* resource) {
  if (numel(target.shape) == 0) return;
  if constexpr (self_evaluating<Node>) {
    node.evaluate_into(target, threads, resource);
  } else {
    if constexpr (!Threads::parallel)
      if (!overlapping && written_in_step(target, node)) return;
    const elementwise_pass<T, Node, Rank> pass(node, target, overlapping);
    if constexpr (is_leaf<Node> && std::is_same_v<typename Node::value_type, T>)
      if (!overlapping && !Threads::parallel &&
          copy_transposed(pass.loops.rank, pass.loops.shape, pass.loops.strides, pass.loops.strides + pass.loops.pitch,
                          node.data, target.data, sizeof(T)))
        return;
    if constexpr (Threads::parallel)
      write_all_in_parallel(pass.rows);
    else
      write_all(pass.rows);
  }
}

// ... of any node.
template <class T, std::size_t Rank, class Node, class Threads>
void prepare_and_evaluate_into(const strided<T, Rank>& target, const Node& node, Threads threads,
                               std::pmr::memory_resource* resource) {
  if constexpr (self_evaluating<Node>)
    evaluate_into(target, node, false, threads, resource);
  else
    evaluate_into(target, detail::ready(node, resource), false, threads, resource);
}

// A node's elements in memory of the resource. What else it needs is allocated later and given back before, as a bump
// or slab resource likes it.
template <class T, class Node, class Threads>
[[nodiscard]] block<T, Node::rank> evaluated(const Node& node, Threads threads, std::pmr::memory_resource* resource) {
  block<T, Node::rank> result(node.shape(), resource);
  prepare_and_evaluate_into(strided<T, Node::rank>{result.data(), result.shape(), row_major(result.shape())}, node,
                            threads, resource);
  return result;
}

// The resource for what evaluation needs beside the target: the target's or, where that has none, an operand's.
template <class Node>
[[nodiscard]] std::pmr::memory_resource* resource_for(std::pmr::memory_resource* resource, const Node& node) {
  if (resource == nullptr) resource = node.resource();
  return resource != nullptr ? resource : std::pmr::get_default_resource();
}

template <class Node>
[[nodiscard]] overlap overlap_with(const operand& target, const Node& node) noexcept {
  if constexpr (Node::leaves == 0) {
    return overlap::none;
  } else {
    operand list[Node::leaves];
    operand* next = list;
    node.list(next);
    return overlap_of(target, list, Node::leaves);
  }
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
