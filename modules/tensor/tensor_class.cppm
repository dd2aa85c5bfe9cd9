// tensor owns an array of several dimensions in memory from any resource, and calculates with it.
//
//     buffers::slab_resource scratch;
//     buffers::tensor a{{1.0f, 2.0f}, {3.0f, 4.0f}};              // 2 x 2, from the default resource
//     buffers::tensor b(a * 2.0f + 1.0f, &scratch);              // evaluated once, into memory of the slab
//     b[0, buffers::all] = b[1, buffers::all];                   // slices are views of it
//     b = a * b;                                                 // into the memory that it has
//
//   operation                     cost            what it does
//   tensor(shape, &resource)      O(numel)        zeros; see zeros, ones, full, empty, arange for more
//   tensor(expression, &r)        as the loops    evaluates
//   t = expression                as the loops    evaluates, in place when the number of elements is the same
//   t[i, j], t.at(i, j)           O(rank)         an element, unchecked and checked
//   t[range{1, 3}, all]           O(rank)         a tensor_view of a part
//   t += x, -= *= /=              as the loops
//   copy(), to_nested()           O(numel)
//   shape() numel() data()        O(1)
//
// It follows the rules of a container of std::pmr: the allocator is given at construction and never changes; a copy
// uses the default resource unless told otherwise; moving takes the memory along when the resources are equal, and
// copies the elements when they are not. A tensor whose memory was taken has no elements, and its extents are 0; one
// whose elements were copied keeps them. With no dimensions, the element lies in the tensor itself, no memory is
// allocated, and the element is still there after a move. Assignments are all or nothing: when memory runs out, shapes
// do not fit, or an integer is divided by zero, the tensor is as it was.
//
// Threads: any may read; one that writes needs the tensor, or the elements that it writes, to itself.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <mdspan>
#include <memory_resource>
#include <type_traits>
#include <utility>
export module buffers.tensor:tensor_class;
import buffers.core;
import :dtype;
import :layout;
import :index;
import :loops;
import :block;
import :expression;
import :operations;
import :slice;
import :tensor_view;

namespace buffers::detail {

[[noreturn]] void throw_ragged();

template <class T, std::size_t Rank>
struct braces {
  using type = std::initializer_list<typename braces<T, Rank - 1>::type>;
};
template <class T>
struct braces<T, 0> {
  using type = T;
};
template <class T, std::size_t Rank>
using braces_t = typename braces<T, Rank>::type;

// The extents of nested braces; of lists without elements, what follows is 0.
template <std::size_t D, class T, std::size_t Rank>
void measure(const braces_t<T, Rank - D>& values, std::array<std::size_t, Rank>& shape) {
  if constexpr (D < Rank) {
    shape[D] = values.size();
    if constexpr (D + 1 < Rank)
      if (values.size() > 0) detail::measure<D + 1, T, Rank>(*values.begin(), shape);
  }
}
template <std::size_t D, class T, std::size_t Rank>
void copy_braces(const braces_t<T, Rank - D>& values, const std::array<std::size_t, Rank>& shape, T*& to) {
  if constexpr (D == Rank) {
    *to++ = values;
  } else {
    if (values.size() != shape[D]) throw_ragged();
    for (const auto& value : values) detail::copy_braces<D + 1, T, Rank>(value, shape, to);
  }
}

template <class T>
using lists = std::initializer_list<std::initializer_list<T>>;

// Elements that the one who asks for them writes himself.
struct uninitialised {};

}  // namespace buffers::detail

export namespace buffers {

/// An array that owns its elements, which lie in row-major order.
template <element T, std::size_t Rank>
class tensor {
 public:
  using value_type = T;
  using element_type = T;
  using allocator_type = std::pmr::polymorphic_allocator<T>;
  using expression_tag = void;
  using shape_type = std::array<std::size_t, Rank>;
  using strides_type = std::array<std::ptrdiff_t, Rank>;
  /// The number of dimensions.
  static constexpr std::size_t rank = Rank;

  /// No elements; with no dimensions, one that is zero.
  inline tensor() noexcept : tensor(allocator_type()) {}
  inline explicit tensor(const allocator_type& allocator) noexcept : block_(allocator.resource()) {}
  // A tensor{&resource} of bool without dimensions: without this, the pointer would become the element `true`.
  inline explicit tensor(std::pmr::memory_resource* resource) noexcept
    requires(Rank == 0 && std::is_same_v<T, bool>)
      : tensor(allocator_type(resource)) {}
  /// Zeros, of a shape that is a std::array, as that of another tensor, or in braces. These are elements where there is
  /// one dimension: tensor<float, 1>({5}) has one. zeros<T>({5}) and zeros<T>({2, 3}) are always shapes.
  /// Throws: invalid_argument for a negative extent; bad_array_new_length for too many elements; what the resource
  /// throws.
  template <std::same_as<shape_type> Shape>
  inline explicit tensor(const Shape& shape, const allocator_type& allocator = {})
      : tensor(detail::uninitialised{}, shape, allocator) {
    if (numel() != 0) std::memset(data(), 0, numel() * sizeof(T));
  }
  inline explicit tensor(const detail::number (&shape)[Rank > 1 ? Rank : 1], const allocator_type& allocator = {})
    requires(Rank > 1)
      : tensor(detail::shape_of(shape), allocator) {}
  /// Nested braces, as many as there are dimensions. std::invalid_argument when lists side by side have different
  /// lengths.
  inline tensor(detail::braces_t<T, Rank> values, const allocator_type& allocator = {})
      : tensor(detail::uninitialised{}, shape_of(values), allocator) {
    T* to = data();
    detail::copy_braces<0, T, Rank>(values, shape(), to);
  }
  /// The elements of an expression, a view, or a tensor of other elements.
  template <class E>
    requires(detail::operand_expression<E> && std::remove_cvref_t<E>::rank == Rank &&
             !std::same_as<std::remove_cvref_t<E>, tensor>)
  inline tensor(E&& expression, const allocator_type& allocator = {})
      : block_(
            detail::evaluated<T>(std::forward<E>(expression).node(), detail::on_this_thread{}, allocator.resource())) {}

  inline tensor(const tensor& other) : tensor(other, allocator_type()) {}
  inline tensor(const tensor& other, const allocator_type& allocator)
      : tensor(detail::uninitialised{}, other.shape(), allocator) {
    copy_elements(other);
  }
  inline tensor(tensor&& other) noexcept = default;
  /// Takes the elements over when the resources are equal; else copies them, in O(numel), and throws what the resource
  /// throws.
  inline tensor(tensor&& other, const allocator_type& allocator) : block_(allocator.resource()) {
    if constexpr (Rank == 0)
      *data() = *other.data();
    else if (other.get_allocator() == allocator)
      block_.swap_elements(other.block_);
    else
      tensor(other, allocator).swap(*this);
  }
  ~tensor() = default;

  inline tensor& operator=(const tensor& other) {
    if (this == &other) return *this;
    if (numel() == other.numel()) {
      block_.reshape(other.shape());
      copy_elements(other);
    } else {
      tensor(other, get_allocator()).swap(*this);
    }
    return *this;
  }
  inline tensor& operator=(tensor&& other) {
    if (this != &other) tensor(std::move(other), get_allocator()).swap(*this);
    return *this;
  }
  /// Nested braces.
  inline tensor& operator=(const detail::braces_t<T, Rank>& values)
    requires(Rank > 0)
  {
    return *this = tensor(values, get_allocator());
  }
  /// Evaluates an expression. The tensor takes its shape; it keeps its memory when the number of elements stays the
  /// same and the expression does not need elements after they are overwritten.
  template <class E>
    requires(detail::operand_expression<E> && std::remove_cvref_t<E>::rank == Rank &&
             !std::same_as<std::remove_cvref_t<E>, tensor>)
  [[gnu::always_inline]] inline tensor& operator=(E&& expression) {
    write(std::forward<E>(expression).node(), detail::on_this_thread{});
    return *this;
  }
  /// Writes one value to all elements.
  template <element U>
  [[gnu::always_inline]] inline tensor& operator=(U value) {
    view() = value;
    return *this;
  }
  /// Adds x, element by element: a tensor, a view, an expression or a value, repeated to this shape where it
  /// broadcasts. Results are converted to T as cast<T>() does. Throws: std::invalid_argument, naming both shapes, when
  /// x does not broadcast; what computing x throws; what the resource throws. Memory is taken only for reductions in x,
  /// and where an element would be overwritten before x needs it. All or nothing: after an error the elements are as
  /// they were, but where a function given to transform() has thrown, some may be new.
  template <class X>
    requires detail::update_of<X, tensor>
  [[gnu::always_inline]] inline tensor& operator+=(X&& x) {
    view() += std::forward<X>(x);
    return *this;
  }
  /// Subtracts likewise.
  template <class X>
    requires detail::update_of<X, tensor>
  [[gnu::always_inline]] inline tensor& operator-=(X&& x) {
    view() -= std::forward<X>(x);
    return *this;
  }
  /// Multiplies likewise.
  template <class X>
    requires detail::update_of<X, tensor>
  [[gnu::always_inline]] inline tensor& operator*=(X&& x) {
    view() *= std::forward<X>(x);
    return *this;
  }
  /// Divides likewise. std::domain_error when an integer is divided by zero.
  template <class X>
    requires detail::update_of<X, tensor>
  [[gnu::always_inline]] inline tensor& operator/=(X&& x) {
    view() /= std::forward<X>(x);
    return *this;
  }

  /// Exchanges the elements, in O(1) when the resources are equal; else each gets a copy from its own resource.
  inline void swap(tensor& other) {
    if (get_allocator() == other.get_allocator()) return block_.swap_elements(other.block_);
    tensor mine(other, get_allocator()), others(*this, other.get_allocator());
    block_.swap_elements(mine.block_);
    other.block_.swap_elements(others.block_);
  }
  friend void swap(tensor& a, tensor& b) { a.swap(b); }

  /// The resource that the memory is from, as given at construction.
  [[nodiscard]] inline allocator_type get_allocator() const noexcept { return block_.resource(); }
  /// The elements, row by row; null when there are none.
  [[nodiscard]] inline T* data() noexcept { return block_.data(); }
  [[nodiscard]] inline const T* data() const noexcept { return block_.data(); }
  /// The number of elements in each dimension.
  [[nodiscard]] inline const shape_type& shape() const noexcept { return block_.shape(); }
  /// The distance of neighbours in each dimension, in elements.
  [[nodiscard]] inline strides_type strides() const noexcept { return row_major(shape()); }
  /// The distance in elements of data() from the beginning of the memory: none. See tensor_view.
  [[nodiscard]] static constexpr std::ptrdiff_t offset() noexcept { return 0; }
  /// The number of elements.
  [[nodiscard]] inline std::size_t numel() const noexcept { return block_.size(); }
  /// The same, as containers call it.
  [[nodiscard]] inline std::size_t size() const noexcept { return numel(); }
  /// Whether there are no elements.
  [[nodiscard]] inline bool empty() const noexcept { return numel() == 0; }
  /// Always: the elements lie row by row without gaps.
  [[nodiscard]] static constexpr bool is_contiguous() noexcept { return true; }

  /// An element. Negative indices count from the end. In the hardened build, an index beside the tensor ends the
  /// program.
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard, gnu::always_inline]] inline T& operator[](I... index) & noexcept {
    return data()[detail::offset_of(shape(), strides(), index...)];
  }
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard, gnu::always_inline]] inline const T& operator[](I... index) const& noexcept {
    return data()[detail::offset_of(shape(), strides(), index...)];
  }
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard]] inline T operator[](I... index) const&& noexcept {
    return data()[detail::offset_of(shape(), strides(), index...)];
  }
  /// A view of a part: an integer takes its dimension away, `all` and ranges keep theirs, and dimensions that are not
  /// mentioned are whole. std::out_of_range for an integer beside the tensor, std::invalid_argument for a step of 0.
  template <class... I>
    requires detail::slices<Rank, I...>
  [[nodiscard]] inline auto operator[](I... index) & {
    return view()[index...];
  }
  template <class... I>
    requires detail::slices<Rank, I...>
  [[nodiscard]] inline auto operator[](I... index) const& {
    return view()[index...];
  }
  template <class... I>
    requires detail::slices<Rank, I...>
  auto operator[](I... index) const&& = delete;  // a view of what is gone at the semicolon

  /// An element; std::out_of_range for an index beside the tensor.
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard]] inline T& at(I... index) & {
    return view().at(index...);
  }
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard]] inline const T& at(I... index) const& {
    return view().at(index...);
  }
  template <std::integral... I>
    requires detail::indices<Rank, I...>
  [[nodiscard]] inline T at(I... index) const&& {
    return view().at(index...);
  }
  /// The element of a tensor of no dimensions.
  inline operator T() const noexcept
    requires(Rank == 0)
  {
    return *data();
  }

  /// The elements in row-major order.
  [[nodiscard]] inline T* begin() noexcept { return data(); }
  [[nodiscard]] inline T* end() noexcept { return data() + numel(); }
  [[nodiscard]] inline const T* begin() const noexcept { return data(); }
  [[nodiscard]] inline const T* end() const noexcept { return data() + numel(); }

  /// All of it, as a view.
  [[nodiscard]] inline tensor_view<T, Rank> view() & noexcept {
    return detail::view_access::make(data(), shape(), strides(), 0, block_.resource());
  }
  [[nodiscard]] inline tensor_view<const T, Rank> view() const& noexcept {
    return detail::view_access::make(data(), shape(), strides(), 0, block_.resource());
  }
  void view() const&& = delete;
  inline operator tensor_view<T, Rank>() & noexcept { return view(); }
  inline operator tensor_view<const T, Rank>() const& noexcept { return view(); }
  operator tensor_view<const T, Rank>() const&& = delete;

  /// All of it, as a std::mdspan.
  [[nodiscard]] inline std::mdspan<T, std::dextents<std::size_t, Rank>> mdspan() & noexcept {
    return {data(), std::dextents<std::size_t, Rank>(shape())};
  }
  [[nodiscard]] inline std::mdspan<const T, std::dextents<std::size_t, Rank>> mdspan() const& noexcept {
    return {data(), std::dextents<std::size_t, Rank>(shape())};
  }
  void mdspan() const&& = delete;
  /// The same where a std::mdspan is expected.
  template <detail::layout_with_strides Layout>
    requires(!std::same_as<Layout, std::layout_left>)
  inline operator std::mdspan<T, std::dextents<std::size_t, Rank>, Layout>() & noexcept {
    return mdspan();
  }
  template <detail::layout_with_strides Layout>
    requires(!std::same_as<Layout, std::layout_left>)
  inline operator std::mdspan<const T, std::dextents<std::size_t, Rank>, Layout>() const& noexcept {
    return mdspan();
  }
  template <detail::layout_with_strides Layout>
  operator std::mdspan<const T, std::dextents<std::size_t, Rank>, Layout>() const&& = delete;

  /// The elements in a tensor of their own, from the default resource unless another is named.
  [[nodiscard]] inline tensor copy(const allocator_type& allocator = {}) const { return tensor(*this, allocator); }
  /// The elements in std::vectors of std::vectors; of a tensor of no dimensions, the element.
  [[nodiscard]] auto to_nested() const { return node().to_nested(); }

  /// As an operand: seen when it is an lvalue, moved when it is an rvalue.
  [[nodiscard]] inline detail::leaf<T, Rank> node() const& noexcept {
    return {data(), shape(), strides(), block_.resource()};
  }
  [[nodiscard]] inline detail::owned<T, Rank> node() && noexcept { return detail::owned<T, Rank>(std::move(block_)); }
  void node() const&& = delete;

  /// For the library: elements that are not initialised, and memory that is taken over.
  inline tensor(detail::uninitialised, const shape_type& shape, const allocator_type& allocator)
      : block_(shape, allocator.resource()) {}
  inline explicit tensor(detail::block<T, Rank>&& elements) noexcept : block_(std::move(elements)) {}
  [[nodiscard]] inline detail::block<T, Rank> release_block() && noexcept { return std::move(block_); }

  template <class Node, class Threads>
  [[gnu::always_inline]] inline void write(const Node& node, Threads threads) {
    if constexpr (!Threads::parallel)
      if (detail::write_one_row(detail::strided<T, Rank>{data(), shape(), row_major(shape())}, node)) return;
    write_any(detail::handed_over<Node, Rank>(node), threads);
  }

 private:
  template <class Node, class Threads>
  void write_any(const Node& node, Threads threads) {
    const shape_type shape = node.shape();
    if (!detail::fails_late<Node> && buffers::numel(shape) == numel()) {
      const detail::strided<T, Rank> here{data(), shape, row_major(shape)};
      if constexpr (detail::self_evaluating<Node>) {
        if (!Node::may_fail && detail::overlap_with(here.as_operand(), node) == detail::overlap::none) {
          detail::evaluate_into(here, node, threads, block_.resource());
          return block_.reshape(shape);
        }
      } else {
        const auto& now = detail::ready(node, block_.resource());
        if (detail::write_ready(here, now, threads)) return block_.reshape(shape);
        if constexpr (!Node::is_ready) return take(detail::evaluated<T>(now, threads, block_.resource()));
      }
    }
    take(detail::evaluated<T>(node, threads, block_.resource()));
  }
  static shape_type shape_of(const detail::braces_t<T, Rank>& values) {
    shape_type shape{};
    detail::measure<0, T, Rank>(values, shape);
    return shape;
  }
  void take(detail::block<T, Rank>&& fresh) noexcept { block_.swap_elements(fresh); }
  void copy_elements(const tensor& other) noexcept {
    if (other.numel() != 0) std::memcpy(data(), other.data(), other.numel() * sizeof(T));
  }

  detail::block<T, Rank> block_;
};

template <element T>
tensor(std::initializer_list<T>, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 1>;
template <element T>
tensor(detail::lists<T>, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 2>;
template <element T>
tensor(std::initializer_list<detail::lists<T>>, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 3>;
template <element T>
tensor(detail::lists<detail::lists<T>>, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 4>;
template <element T>
tensor(std::initializer_list<detail::lists<detail::lists<T>>>, const std::pmr::polymorphic_allocator<>& = {})
    -> tensor<T, 5>;
template <element T>
tensor(detail::lists<detail::lists<detail::lists<T>>>, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 6>;
template <element T>
tensor(std::initializer_list<detail::lists<detail::lists<detail::lists<T>>>>,
       const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 7>;
template <element T>
tensor(detail::lists<detail::lists<detail::lists<detail::lists<T>>>>, const std::pmr::polymorphic_allocator<>& = {})
    -> tensor<T, 8>;
template <element T>
tensor(T, const std::pmr::polymorphic_allocator<>& = {}) -> tensor<T, 0>;
template <class E>
  requires detail::operand_expression<E>
tensor(E&&, const std::pmr::polymorphic_allocator<>& = {})
    -> tensor<typename std::remove_cvref_t<E>::value_type, std::remove_cvref_t<E>::rank>;

template <element T, std::size_t Rank>
tensor_view(tensor<T, Rank>&) -> tensor_view<T, Rank>;
template <element T, std::size_t Rank>
tensor_view(const tensor<T, Rank>&) -> tensor_view<const T, Rank>;

/// Evaluates an expression once, into a tensor from that resource (or the default one). Throws: what the resource
/// throws; std::domain_error when an integer is divided by zero.
template <class E>
  requires detail::operand_expression<E>
[[nodiscard]] auto evaluate(E&& expression, const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return tensor<typename std::remove_cvref_t<E>::value_type, std::remove_cvref_t<E>::rank>(std::forward<E>(expression),
                                                                                           allocator);
}

/// Says that an evaluation may use all threads of oneTBB: evaluate(parallel, e), assign(parallel, t, e). Fewer than 32
/// Ki elements are computed on the calling thread alone. That thread takes part, and alone allocates from the resource.
/// It may run other tasks of oneTBB while it waits: hold no mutex that those lock. Sums over some dimensions may differ
/// in their last bits from those of one thread.
inline constexpr struct parallel_t {
} parallel{};

/// ... on several threads when there is enough to do. Throws the same. The operands must not change meanwhile.
template <class E>
  requires detail::operand_expression<E>
[[nodiscard]] auto evaluate(parallel_t, E&& expression, const std::pmr::polymorphic_allocator<>& allocator = {}) {
  tensor<typename std::remove_cvref_t<E>::value_type, std::remove_cvref_t<E>::rank> result(allocator);
  result.write(std::forward<E>(expression).node(), detail::on_all_threads{});
  return result;
}

/// target = expression, on several threads when there is enough to do. Throws what the assignment does. Until it
/// returns, no other thread may use the target or change an operand.
template <element T, std::size_t Rank, class E>
  requires(detail::operand_expression<E> && std::remove_cvref_t<E>::rank == Rank)
void assign(parallel_t, tensor<T, Rank>& target, E&& expression) {
  target.write(std::forward<E>(expression).node(), detail::on_all_threads{});
}
template <class T, std::size_t Rank, class E>
  requires(!std::is_const_v<T> && detail::operand_expression<E> && std::remove_cvref_t<E>::rank <= Rank)
void assign(parallel_t, const tensor_view<T, Rank>& target, E&& expression) {
  detail::assign(detail::strided<T, Rank>{target.data(), target.shape(), target.strides()},
                 std::forward<E>(expression).node(), detail::on_all_threads{}, target.resource());
}

template <class T, std::size_t Rank>
  requires element<std::remove_const_t<T>>
tensor<std::remove_const_t<T>, Rank> tensor_view<T, Rank>::copy(
    const std::pmr::polymorphic_allocator<>& allocator) const {
  return tensor<value_type, Rank>(*this, allocator);
}
/// The elements in a tensor of their own, from the default resource unless another is named.
template <class T, std::size_t Rank>
[[nodiscard]] tensor<std::remove_const_t<T>, Rank> copy(const tensor_view<T, Rank>& view,
                                                        const std::pmr::polymorphic_allocator<>& allocator = {}) {
  return view.copy(allocator);
}
/// Swaps the elements of two views of one shape, as two rows of a matrix; std::invalid_argument when the shapes differ.
/// O(numel): it takes memory for a copy of one of them, from the resource of a's tensor, or of b's, or the default one;
/// when there is none, nothing is swapped.
template <class T, std::size_t Rank>
  requires(!std::is_const_v<T>)
void swap(tensor_view<T, Rank> a, tensor_view<T, Rank> b) {
  if (a.shape() != b.shape()) detail::throw_shapes("swap", a.shape(), b.shape(), "differ");
  const tensor<T, Rank> kept(a, detail::resource_for(a.resource(), b));
  a = b;
  b = kept;
}

}  // namespace buffers
