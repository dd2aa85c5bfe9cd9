// tensor_view sees elements that somebody else owns as an array of several dimensions: all of a tensor, a slice of one,
// or any memory. Strides may be negative (reversed) and zero (repeated).
//
//     memory   0  1  2  3  4  5  6  7  8  9 10 11
//              └──────────┘└──────────┘└─────────┘   t: shape (3, 4), strides (4, 1)
//                    2           6          10       t[all, 2]: shape (3,), strides (4,), offset 2
//
//     buffers::tensor t{{1, 2, 3}, {4, 5, 6}};
//     t[0, buffers::all] = t[1, buffers::all] * 10;  // writes through: {{40, 50, 60}, {4, 5, 6}}
//     buffers::tensor_view v(t.mdspan());            // also of a std::span, and back: v.mdspan()
//
//   operation               cost            what it does
//   v[i, j]                 O(rank)         an element; not checked; negative indices count from the end
//   v.at(i, j)              O(rank)         ... checked
//   v[range{1, 3}, all]     O(rank)         a view of a part
//   v = expression          as the loops    writes the elements, broadcasting; correct when both overlap
//   v += x, -= *= /=        as the loops
//   begin(), end()          O(1)            the elements in row-major order, with random access
//   copy(), to_nested()     O(numel)
//
// A view is like a reference: copying one makes another view of the same elements, assigning to one assigns elements.
// It is valid as long as what it sees; of a tensor that is a temporary there is none. What an assignment needs for
// itself (when both sides overlap, or for reductions) comes from the resource of the tensor that is seen, or else of an
// operand, or else from the default resource.
//
// Threads: any may read; those that write need elements of their own.
module;
#include <array>
#include <compare>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <limits>
#include <mdspan>
#include <memory_resource>
#include <span>
#include <type_traits>
#include <utility>
export module buffers.tensor:tensor_view;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :loops;
import :block;
import :expression;
import :operations;
import :reduction;
import :slice;

namespace buffers::detail {

[[noreturn]] void throw_mdspan(const char* why);

struct view_access;

template <class... I>
constexpr std::size_t sliced_rank(std::size_t rank) {
  return rank - (static_cast<std::size_t>(std::integral<I>) + ... + 0);
}

template <std::size_t Rank, class... I>
concept slices = (index_type<I> && ...) && sizeof...(I) <= Rank && (sizeof...(I) < Rank || (slicing_index<I> || ...));
template <std::size_t Rank, class... I>
concept indices = (std::integral<I> && ...) && sizeof...(I) == Rank;

// What is written to the elements of a view by an assignment that is not the copy assignment.
template <class View, class E>
concept assignable = !std::is_const_v<typename View::element_type> && operand_expression<E> &&
                     !std::same_as<std::remove_cvref_t<E>, View> && std::remove_cvref_t<E>::rank <= View::rank;

// The distance of an element from the first. In the hardened build, an index beside the array ends the program.
template <std::size_t Rank, std::integral... I>
[[nodiscard, gnu::always_inline]] inline std::ptrdiff_t offset_of(const std::array<std::size_t, Rank>& shape,
                                                                  const std::array<std::ptrdiff_t, Rank>& strides,
                                                                  I... index) noexcept {
  std::size_t d = 0;
  std::ptrdiff_t offset = 0;
  [[maybe_unused]] const auto add_dimension = [&](auto i) {
    const std::ptrdiff_t at = place(i, shape[d]);
    if constexpr (hardened)
      if (at < 0 || static_cast<std::size_t>(at) >= shape[d]) violate("an index is beside the tensor");
    offset += at * strides[d++];
  };
  (add_dimension(index), ...);
  return offset;
}

template <class T, std::size_t Rank, class Node, class Threads>
void assign(const strided<T, Rank>& target, const Node& node, Threads threads, std::pmr::memory_resource* resource);

}  // namespace buffers::detail

export namespace buffers {

template <element T, std::size_t Rank>
class tensor;

/// Elements that it does not own, with any strides. A copy sees the same elements; an assignment writes them.
template <class T, std::size_t Rank>
  requires element<std::remove_const_t<T>>
class tensor_view {
 public:
  using element_type = T;
  using value_type = std::remove_const_t<T>;
  using expression_tag = void;
  using borrows_memory = void;
  using shape_type = std::array<std::size_t, Rank>;
  using strides_type = std::array<std::ptrdiff_t, Rank>;
  /// The number of dimensions.
  static constexpr std::size_t rank = Rank;

  /// `shape` elements from `data` on, `strides` apart. Nothing is checked.
  inline tensor_view(T* data, const shape_type& shape, const strides_type& strides) noexcept
      : data_(data), shape_(shape), strides_(strides) {}
  /// ... that lie row by row without gaps.
  inline tensor_view(T* data, const shape_type& shape) noexcept : tensor_view(data, shape, row_major(shape)) {}
  /// A view of mutable elements is one of constant elements too.
  template <class U>
    requires(std::is_const_v<T> && std::same_as<const U, T>)
  inline tensor_view(const tensor_view<U, Rank>& other) noexcept
      : data_(other.data_),
        shape_(other.shape_),
        strides_(other.strides_),
        offset_(other.offset_),
        memory_(other.memory_) {}
  /// The elements of a std::mdspan of any layout with strides.
  template <class U, class Extents, class Layout>
    requires(Extents::rank() == Rank && std::convertible_to<U (*)[], T (*)[]> &&
             (Rank == 0 || requires(const typename Layout::template mapping<Extents>& m) { m.stride(Rank); }))
  inline tensor_view(const std::mdspan<U, Extents, Layout>& view) : data_(view.data_handle()), shape_{}, strides_{} {
    for (std::size_t d = 0; d < Rank; ++d) {
      shape_[d] = static_cast<std::size_t>(view.extent(d));
      if constexpr (Rank > 0) strides_[d] = static_cast<std::ptrdiff_t>(view.stride(d));
    }
  }
  /// The elements of a std::span.
  template <class U, std::size_t N>
    requires(Rank == 1 && std::convertible_to<U (*)[], T (*)[]>)
  inline tensor_view(std::span<U, N> elements) noexcept
      : data_(elements.data()), shape_{elements.size()}, strides_{1} {}

  tensor_view(const tensor_view&) = default;

  /// Writes the elements of another tensor, view or expression, repeated to this shape where they broadcast.
  /// std::invalid_argument, naming both shapes, where they do not; then, and when memory or an integer division fails,
  /// nothing has been written.
  template <class E>
    requires detail::assignable<tensor_view, E>
  [[gnu::always_inline]] inline const tensor_view& operator=(E&& expression) const {
    write(std::forward<E>(expression).node());
    return *this;
  }
  template <class E>
    requires detail::assignable<tensor_view, E>
  [[gnu::always_inline]] inline tensor_view& operator=(E&& expression) {
    write(std::forward<E>(expression).node());
    return *this;
  }
  inline const tensor_view& operator=(const tensor_view& other) const
    requires(!std::is_const_v<T>)
  {
    write(other.node());
    return *this;
  }
  inline tensor_view& operator=(const tensor_view& other)
    requires(!std::is_const_v<T>)
  {
    write(other.node());
    return *this;
  }
  /// Writes one value to all elements.
  template <element U>
    requires(!std::is_const_v<T>)
  [[gnu::always_inline]] inline const tensor_view& operator=(U value) const {
    write(detail::scalar<U>(value));
    return *this;
  }
  /// Adds x, element by element: a tensor, a view, an expression or a value, repeated to this shape where it
  /// broadcasts. Results are converted to T as cast<T>() does. Throws: std::invalid_argument, naming both shapes, when
  /// x does not broadcast; what computing x throws; what the resource throws. Memory is taken only for reductions in x,
  /// and where an element would be overwritten before x needs it. All or nothing: after an error the elements are as
  /// they were, but where a function given to transform() has thrown, some may be new.
  template <class X>
    requires(!std::is_const_v<T> && detail::update_of<X, tensor_view>)
  [[gnu::always_inline]] inline const tensor_view& operator+=(X&& x) const {
    write(*this + std::forward<X>(x));
    return *this;
  }
  /// Subtracts likewise.
  template <class X>
    requires(!std::is_const_v<T> && detail::update_of<X, tensor_view>)
  [[gnu::always_inline]] inline const tensor_view& operator-=(X&& x) const {
    write(*this - std::forward<X>(x));
    return *this;
  }
  /// Multiplies likewise.
  template <class X>
    requires(!std::is_const_v<T> && detail::update_of<X, tensor_view>)
  [[gnu::always_inline]] inline const tensor_view& operator*=(X&& x) const {
    write(*this * std::forward<X>(x));
    return *this;
  }
  /// Divides likewise. std::domain_error when an integer is divided by zero.
  template <class X>
    requires(!std::is_const_v<T> && detail::update_of<X, tensor_view>)
  [[gnu::always_inline]] inline const tensor_view& operator/=(X&& x) const {
    write(*this / std::forward<X>(x));
    return *this;
  }

  /// The element at (0, 0, ...).
  [[nodiscard]] inline T* data() const noexcept { return data_; }
  /// The number of elements in each dimension.
  [[nodiscard]] inline const shape_type& shape() const noexcept { return shape_; }
  /// The distance of neighbours in each dimension, in elements.
  [[nodiscard]] inline const strides_type& strides() const noexcept { return strides_; }
  /// The distance in elements of data() from the beginning of the tensor that is seen.
  [[nodiscard]] inline std::ptrdiff_t offset() const noexcept { return offset_; }
  /// The number of elements.
  [[nodiscard]] inline std::size_t numel() const noexcept { return detail::product(shape_); }
  /// The same, as containers call it.
  [[nodiscard]] inline std::size_t size() const noexcept { return numel(); }
  /// Whether there are no elements.
  [[nodiscard]] inline bool empty() const noexcept { return numel() == 0; }
  /// Whether the elements lie row by row without gaps. Dimensions of size 1 have no say.
  [[nodiscard]] inline bool is_contiguous() const noexcept { return detail::is_row_major(shape_, strides_); }

  /// An element. Negative indices count from the end. In the hardened build, an index beside the array ends the
  /// program.
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard, gnu::always_inline]] inline T& operator[](I... index) const noexcept {
    return data_[detail::offset_of(shape_, strides_, index...)];
  }
  /// A part: an integer takes its dimension away, `all` and ranges keep theirs, and dimensions that are not mentioned
  /// are whole. std::out_of_range for an integer beside the array, std::invalid_argument for a step of 0.
  template <class... I>
    requires detail::slices<Rank, I...>
  [[nodiscard]] inline auto operator[](I... index) const {
    constexpr std::size_t sliced = detail::sliced_rank<I...>(Rank);
    std::array<std::size_t, sliced> shape;
    std::array<std::ptrdiff_t, sliced> strides;
    std::ptrdiff_t moved = 0;
    std::size_t d = 0, kept = 0;
    const auto take = [&]<class One>(One one) {
      const detail::picked part = detail::pick(one, shape_[d]);
      moved += part.first * strides_[d];
      if constexpr (!std::integral<One>) {
        shape[kept] = part.count;
        // Of a single element, the step may be as large as there are numbers: nobody takes it.
        strides[kept++] =
            static_cast<std::ptrdiff_t>(static_cast<std::size_t>(part.step) * static_cast<std::size_t>(strides_[d]));
      }
      ++d;
    };
    (take(index), ...);
    for (; d < Rank; ++d, ++kept) {
      shape[kept] = shape_[d];
      strides[kept] = strides_[d];
    }
    T* const first = data_ == nullptr ? nullptr : data_ + moved;  // a tensor of no elements has no memory
    return tensor_view<T, sliced>(first, shape, strides, offset_ + moved, memory_);
  }
  /// An element; std::out_of_range for an index beside the array.
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard]] inline T& at(I... index) const {
    std::size_t d = 0;
    std::ptrdiff_t offset = 0;
    ((offset += static_cast<std::ptrdiff_t>(detail::checked_place(index, shape_[d])) * strides_[d], ++d), ...);
    return data_[offset];
  }
  /// The element of a view of no dimensions.
  inline operator value_type() const noexcept
    requires(Rank == 0)
  {
    return *data_;
  }

  /// The elements as a std::mdspan of std::layout_stride; with std::layout_right or std::layout_left, of elements that
  /// lie row by row or column by column. Throws std::invalid_argument when the layout cannot say where they are:
  /// layout_stride knows no negative strides, and no repeated elements.
  template <detail::layout_with_strides Layout = std::layout_stride>
  [[nodiscard]] std::mdspan<T, std::dextents<std::size_t, Rank>, Layout> mdspan() const {
    const std::dextents<std::size_t, Rank> extents(shape_);
    if constexpr (std::is_same_v<Layout, std::layout_right>) {
      if (!is_contiguous())
        detail::throw_mdspan("the elements do not lie row by row: ask for std::layout_stride, or make a copy()");
      return {data_, extents};
    } else if constexpr (std::is_same_v<Layout, std::layout_left>) {
      if (!detail::is_row_major(detail::reversed(shape_), detail::reversed(strides_)))
        detail::throw_mdspan("the elements do not lie column by column: ask for std::layout_stride, or make a copy()");
      return {data_, extents};
    } else {
      strides_type strides = strides_;
      const bool nothing = empty();
      for (std::size_t d = 0; d < Rank; ++d) {
        if (shape_[d] == 1) strides[d] = 1;  // which matters to nobody, but has to be positive
        if (nothing) strides[d] = row_major_of_some(d);
        if (strides[d] <= 0)
          detail::throw_mdspan("std::layout_stride has no strides that are zero or negative: make a copy()");
      }
      if (!detail::are_apart({data_, sizeof(T), Rank, shape_.data(), strides.data()}))
        detail::throw_mdspan("std::layout_stride has no elements of several indices: make a copy()");
      return {data_, std::layout_stride::mapping<std::dextents<std::size_t, Rank>>(extents, strides)};
    }
  }
  /// The same where a std::mdspan is expected, also one of constant elements.
  template <class U, detail::layout_with_strides Layout>
    requires(std::same_as<U, T> || std::same_as<U, const T>)
  inline operator std::mdspan<U, std::dextents<std::size_t, Rank>, Layout>() const {
    return mdspan<Layout>();
  }

  /// The elements in row-major order.
  class iterator;
  [[nodiscard]] inline iterator begin() const noexcept { return iterator(*this, 0); }
  [[nodiscard]] inline iterator end() const noexcept { return iterator(*this, static_cast<std::ptrdiff_t>(numel())); }

  /// The elements in a tensor of their own, from the default resource unless another is named.
  [[nodiscard]] tensor<value_type, Rank> copy(const std::pmr::polymorphic_allocator<>& allocator = {}) const;
  /// The elements in std::vectors of std::vectors; of a view of no dimensions, the element.
  [[nodiscard]] auto to_nested() const { return node().to_nested(); }

  /// As an operand.
  [[nodiscard]] inline detail::leaf<value_type, Rank> node() const noexcept {
    return {data_, shape_, strides_, memory_};
  }
  /// The resource of the tensor that is seen; null when none is known.
  [[nodiscard]] inline std::pmr::memory_resource* resource() const noexcept { return memory_; }

 private:
  template <class U, std::size_t Other>
    requires element<std::remove_const_t<U>>
  friend class tensor_view;
  friend struct detail::view_access;

  inline tensor_view(T* data, const shape_type& shape, const strides_type& strides, std::ptrdiff_t offset,
                     std::pmr::memory_resource* memory) noexcept
      : data_(data), shape_(shape), strides_(strides), offset_(offset), memory_(memory) {}

  template <class Node>
  [[gnu::always_inline]] inline void write(const Node& node) const {
    const detail::strided<T, Rank> here{data_, shape_, strides_};
    if (!detail::write_one_row(here, node))
      detail::assign(detail::handed_over<Node, Rank>(here), detail::handed_over<Node, Rank>(node),
                     detail::on_this_thread{}, memory_);
  }
  // A stride that std::layout_stride takes for an array without elements: more than 0, however large the others are.
  [[nodiscard]] std::ptrdiff_t row_major_of_some(std::size_t d) const noexcept {
    std::ptrdiff_t stride = 1;
    while (++d < Rank)
      if (shape_[d] > 1 && __builtin_mul_overflow(stride, shape_[d], &stride))
        return std::numeric_limits<std::ptrdiff_t>::max();
    return stride;
  }

  T* data_;
  [[no_unique_address]] shape_type shape_;
  [[no_unique_address]] strides_type strides_;
  std::ptrdiff_t offset_ = 0;
  std::pmr::memory_resource* memory_ = nullptr;
};

template <class T, std::size_t Rank>
  requires element<std::remove_const_t<T>>
class tensor_view<T, Rank>::iterator {
 public:
  using iterator_concept = std::random_access_iterator_tag;
  using iterator_category = std::random_access_iterator_tag;
  using value_type = std::remove_const_t<T>;
  using difference_type = std::ptrdiff_t;
  using pointer = T*;
  using reference = T&;

  iterator() = default;
  [[nodiscard]] inline T& operator*() const noexcept { return *operator->(); }
  [[nodiscard]] inline T* operator->() const noexcept {
    if constexpr (in_a_row)
      return at_ + position_ * strides_[0];
    else
      return at_;
  }
  [[nodiscard]] inline T& operator[](difference_type n) const noexcept { return *(*this + n); }
  inline iterator& operator++() noexcept {
    ++position_;
    if constexpr (in_a_row) return *this;
    for (std::size_t d = Rank; d-- > 0;) {
      at_ += strides_[d];
      if (++index_[d] < shape_[d]) break;
      at_ -= static_cast<std::ptrdiff_t>(shape_[d]) * strides_[d];
      index_[d] = 0;
    }
    return *this;
  }
  inline iterator operator++(int) noexcept {
    iterator before = *this;
    ++*this;
    return before;
  }
  inline iterator& operator--() noexcept { return *this -= 1; }
  inline iterator operator--(int) noexcept {
    iterator before = *this;
    --*this;
    return before;
  }
  /// Divides once for each dimension, if there are several.
  inline iterator& operator+=(difference_type n) noexcept {
    position_ += n;
    if constexpr (in_a_row) return *this;
    auto rest = static_cast<std::size_t>(position_);
    for (std::size_t d = Rank; d-- > 0 && shape_[d] != 0; rest /= shape_[d]) {
      const std::size_t before = std::exchange(index_[d], rest % shape_[d]);
      at_ += static_cast<std::ptrdiff_t>(index_[d] - before) * strides_[d];
    }
    return *this;
  }
  inline iterator& operator-=(difference_type n) noexcept { return *this += -n; }
  [[nodiscard]] friend iterator operator+(iterator i, difference_type n) noexcept { return i += n; }
  [[nodiscard]] friend iterator operator+(difference_type n, iterator i) noexcept { return i += n; }
  [[nodiscard]] friend iterator operator-(iterator i, difference_type n) noexcept { return i -= n; }
  [[nodiscard]] friend difference_type operator-(const iterator& a, const iterator& b) noexcept {
    return a.position_ - b.position_;
  }
  [[nodiscard]] friend bool operator==(const iterator& a, const iterator& b) noexcept {
    return a.position_ == b.position_;
  }
  [[nodiscard]] friend std::strong_ordering operator<=>(const iterator& a, const iterator& b) noexcept {
    return a.position_ <=> b.position_;
  }

 private:
  friend class tensor_view;
  inline iterator(const tensor_view& view, difference_type position) noexcept
      : at_(view.data_), position_(position), shape_(view.shape_), strides_(view.strides_) {}

  // One dimension: the position is all that changes, and `at_` the first element.
  static constexpr bool in_a_row = Rank == 1;

  T* at_ = nullptr;
  difference_type position_ = 0;
  // The end's indices are those of the first element.
  [[no_unique_address]] std::array<std::size_t, Rank> index_{};
  [[no_unique_address]] std::array<std::size_t, Rank> shape_{};
  [[no_unique_address]] std::array<std::ptrdiff_t, Rank> strides_{};
};

template <class T, class Extents, class Layout>
tensor_view(const std::mdspan<T, Extents, Layout>&) -> tensor_view<T, Extents::rank()>;
template <class T, std::size_t N>
tensor_view(std::span<T, N>) -> tensor_view<T, 1>;

}  // namespace buffers

/// Iterators outlive the view that they are of.
template <class T, std::size_t Rank>
inline constexpr bool std::ranges::enable_borrowed_range<buffers::tensor_view<T, Rank>> = true;

namespace buffers::detail {

// Views with what only the library says: the tensor that they are of.
struct view_access {
  template <class T, std::size_t Rank>
  [[nodiscard]] static tensor_view<T, Rank> make(T* data, const std::array<std::size_t, Rank>& shape,
                                                 const std::array<std::ptrdiff_t, Rank>& strides, std::ptrdiff_t offset,
                                                 std::pmr::memory_resource* memory) noexcept {
    return {data, shape, strides, offset, memory};
  }
};

// Writes a node's elements to a target that it broadcasts to, whatever they have in common.
template <class T, std::size_t Rank, class Node, class Threads>
void assign(const strided<T, Rank>& target, const Node& node, Threads threads, std::pmr::memory_resource* memory) {
  const std::array<std::size_t, Node::rank> shape = node.shape();
  bool same_shape = false;
  if constexpr (Node::rank == Rank) same_shape = are_equal(shape, target.shape);
  if (!same_shape) (void)broadcast_strides(shape, std::array<std::ptrdiff_t, Node::rank>{}, target.shape, "assignment");
  if (numel(target.shape) == 0) return;
  if constexpr (self_evaluating<Node>) {
    std::pmr::memory_resource* const resource = resource_for(memory, node);
    if constexpr (Node::rank == Rank)
      if (!Node::may_fail && same_shape && overlap_with(target.as_operand(), node) == overlap::none)
        return node.evaluate_into(target, threads, resource);
    const owned<typename Node::value_type, Node::rank> result(
        evaluated<typename Node::value_type>(node, threads, resource));
    evaluate_into(target, result.view(), threads, resource);
  } else {
    std::pmr::memory_resource* resource = Node::is_ready ? nullptr : resource_for(memory, node);
    const auto& now = detail::ready(node, resource);
    if constexpr (!fails_late<Node>)
      if (write_ready(target, now, threads)) return;
    if constexpr (Node::is_ready) resource = resource_for(memory, node);
    const block<T, Node::rank> result = evaluated<T>(now, threads, resource);
    evaluate_into(target, leaf<T, Node::rank>(result.data(), shape, row_major(shape), resource), threads, resource);
  }
}

}  // namespace buffers::detail
