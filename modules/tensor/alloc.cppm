// alloc makes a std::mdspan over fresh, uninitialised memory of a buffer; drop gives such views back; reshape_buffer
// sees a buffer's memory as an array without allocating.
//
//     buffers::slab_resource scratch;
//     auto a = buffers::alloc<double>(scratch, 10, 20);                          // 10 x 20, row by row
//     auto b = buffers::alloc<float>(scratch, buffers::alignment{64}, 100);      // aligned for vector loads
//     auto c = buffers::alloc<double, std::layout_left>(scratch, 20, 5);         // column by column, as in Fortran
//     a[9, 19] = b[99] = 1;
//     buffers::drop(scratch, a, c);                                              // in any order
//
//   operation            cost            what it does
//   alloc                as allocate     a view over fresh memory
//   alloc_span,          as allocate     a span of fresh elements, of fresh bytes
//   alloc_bytes
//   drop                 as deallocate   gives views back, in any order, within a call and across calls
//   reshape_buffer(_at)  O(1)            a view over a buffer's memory; excludes alloc until reset
//
// Threads: as the resource.
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <mdspan>
#include <span>
#include <type_traits>
#include <utility>
export module buffers.tensor:alloc;
import buffers.core;
import :layout;

export namespace buffers {

/// A number of bytes that an address is to be a multiple of: a power of two.
struct alignment {
  std::size_t bytes;
};

}  // namespace buffers

namespace buffers::detail {

template <class E>
inline constexpr bool is_extents = false;
template <class I, std::size_t... E>
inline constexpr bool is_extents<std::extents<I, E...>> = true;

template <class E>
concept extents_type = is_extents<E>;

// The bytes of an array of these extents; bad_array_new_length when it has more bytes than there are.
template <class T, class Extents>
constexpr std::size_t size_of(const Extents& extents) {
  std::array<std::size_t, Extents::rank()> shape{};
  for (std::size_t d = 0; d < shape.size(); ++d) shape[d] = to_size(extents.extent(d));
  return multiply(numel(shape), sizeof(T));
}

template <class T>
constexpr void require_element() {
  static_assert(std::is_trivially_destructible_v<T>, "no destructor of these elements will ever run");
  static_assert(!std::is_const_v<T> && !std::is_reference_v<T>);
}

// A resource that makes its views itself, from the type and the shape: one that stands in for another and has no
// memory, or that writes down what it is asked for. It has all of view_of_new, view_of_reshaped and drop_views.
template <class R>
concept making_views = requires(R& resource, std::size_t bytes, std::extents<std::size_t, 1> extents) {
  resource.template view_of_new<int, std::layout_right>(bytes, bytes, extents);
};

template <class T, class Layout, byte_source R, class Extents>
[[nodiscard, gnu::always_inline]] constexpr auto alloc_extents(R& resource, std::size_t align, const Extents& extents) {
  require_element<T>();
  if constexpr (making_views<R>) {
    return resource.template view_of_new<T, Layout>(size_of<T>(extents), align, extents);
  } else {
    void* const memory = resource.allocate(size_of<T>(extents), align);
    return std::mdspan<T, Extents, Layout>(static_cast<T*>(memory), extents);
  }
}

// What alloc aligned such a view to, if no more was asked for; alloc_bytes is for all fundamental types.
template <class V>
inline constexpr std::size_t alignment_of_view = alignof(typename V::element_type);
template <std::size_t N>
inline constexpr std::size_t alignment_of_view<std::span<std::byte, N>> = alignof(std::max_align_t);

template <std::integral... I>
[[nodiscard]] constexpr auto extents_of(I... dims) {
  return std::dextents<std::size_t, sizeof...(I)>(to_size(dims)...);
}

}  // namespace buffers::detail

export namespace buffers {

/// An array of the given shape over fresh memory. Its elements are uninitialised; T's destructor must be trivial. With
/// no dims: one element, of rank 0. `Layout` is std::layout_right (row by row) or std::layout_left (column by column).
/// Throws: invalid_argument for a negative dim; bad_array_new_length when the shape has more bytes than there are; what
/// the resource throws.
template <class T, class Layout = std::layout_right, byte_source R, std::integral... I>
[[nodiscard, gnu::always_inline]] constexpr auto alloc(R& resource, I... dims) {
  return detail::alloc_extents<T, Layout>(resource, alignof(T), detail::extents_of(dims...));
}
/// ... aligned to at least `align.bytes` bytes. Throws invalid_argument as well when that is no power of two.
template <class T, class Layout = std::layout_right, byte_source R, std::integral... I>
[[nodiscard, gnu::always_inline]] constexpr auto alloc(R& resource, alignment align, I... dims) {
  detail::require_alignment(align.bytes);
  return detail::alloc_extents<T, Layout>(resource, align.bytes > alignof(T) ? align.bytes : alignof(T),
                                          detail::extents_of(dims...));
}
/// ... of a shape that is, in part or in whole, known to the compiler.
template <class T, class Layout = std::layout_right, byte_source R, detail::extents_type E>
[[nodiscard, gnu::always_inline]] constexpr auto alloc(R& resource, const E& extents) {
  return detail::alloc_extents<T, Layout>(resource, alignof(T), extents);
}
template <class T, class Layout = std::layout_right, byte_source R, detail::extents_type E>
[[nodiscard, gnu::always_inline]] constexpr auto alloc(R& resource, alignment align, const E& extents) {
  detail::require_alignment(align.bytes);
  return detail::alloc_extents<T, Layout>(resource, align.bytes > alignof(T) ? align.bytes : alignof(T), extents);
}

/// `count` fresh elements in a row, for algorithms and functions that take a std::span; otherwise as alloc.
template <class T, byte_source R>
[[nodiscard]] constexpr std::span<T> alloc_span(R& resource, std::integral auto count) {
  const auto view = detail::alloc_extents<T, std::layout_right>(resource, detail::alignment_of_view<std::span<T>>,
                                                                detail::extents_of(count));
  return {view.data_handle(), view.extent(0)};
}
/// `bytes` fresh bytes, aligned for every fundamental type.
template <byte_source R>
[[nodiscard]] constexpr std::span<std::byte> alloc_bytes(R& resource, std::integral auto bytes) {
  return alloc_span<std::byte>(resource, bytes);
}

}  // namespace buffers

namespace buffers::detail {

template <class T, class Extents, class Layout, class Accessor>
  requires(!std::is_const_v<T> && std::same_as<typename Accessor::data_handle_type, T*>)
[[nodiscard]] std::span<std::byte> bytes_of(const std::mdspan<T, Extents, Layout, Accessor>& view) {
  return std::as_writable_bytes(std::span(view.data_handle(), view.mapping().required_span_size()));
}
template <class T, std::size_t N>
  requires(!std::is_const_v<T>)
[[nodiscard]] std::span<std::byte> bytes_of(std::span<T, N> view) {
  return std::as_writable_bytes(view);
}

template <class V>
concept byte_view = requires(const V& view) {
  { bytes_of(view) } -> std::same_as<std::span<std::byte>>;
};

template <class R>
concept dropping = requires(R& resource, std::span<const std::span<std::byte>> blocks) { resource.drop(blocks); };

template <byte_source R, byte_view... Views>
constexpr void drop(R& resource, [[maybe_unused]] std::size_t align, const Views&... views) {
  if constexpr (making_views<R>) {
    resource.drop_views(align, views...);
  } else if constexpr (dropping<R>) {
    const std::array<std::span<std::byte>, sizeof...(Views)> blocks{bytes_of(views)...};
    resource.drop(blocks);
  } else {
    struct block {
      std::span<std::byte> bytes;
      std::size_t alignment;
    };
    std::array<block, sizeof...(Views)> blocks{
        block{bytes_of(views), align > alignment_of_view<Views> ? align : alignment_of_view<Views>}...};
    for (std::size_t left = blocks.size(); left > 0; --left) {
      std::size_t highest = 0;
      for (std::size_t i = 1; i < left; ++i)
        if (blocks[i].bytes.data() > blocks[highest].bytes.data()) highest = i;
      std::swap(blocks[highest], blocks[left - 1]);
      const block& last = blocks[left - 1];
      if (last.bytes.data() != nullptr) resource.deallocate(last.bytes.data(), last.bytes.size(), last.alignment);
    }
  }
}

template <class R>
concept reshapable = making_views<R> || requires(R& resource, std::size_t bytes) {
  { resource.reshape(bytes, bytes) } -> std::convertible_to<std::byte*>;
};

template <class T, class Layout, class R, class Extents>
[[nodiscard]] constexpr auto reshape_extents(R& resource, std::size_t offset, const Extents& extents) {
  require_element<T>();
  const std::size_t before = multiply(offset, sizeof(T));
  const std::size_t bytes = add_bytes(before, size_of<T>(extents));
  if constexpr (making_views<R>) {
    return resource.template view_of_reshaped<T, Layout>(before, bytes, extents);
  } else {
    std::byte* const memory = resource.reshape(bytes, alignof(T));
    return std::mdspan<T, Extents, Layout>(reinterpret_cast<T*>(memory + before), extents);
  }
}

}  // namespace buffers::detail

export namespace buffers {

/// Gives back views that alloc made (mdspans and spans), in any order: their memory is reclaimed from the end of the
/// buffer as soon as it can be, so a view dropped before younger ones is when those are dropped too. Empty views are
/// ignored. Throws invalid_argument, and drops nothing, when a view is not from this buffer or was dropped before.
/// A resource without a `drop` of its own, as a pool or any other memory resource, has the views deallocated, from the
/// highest address down; it does not throw, and has to be given its own live views.
template <byte_source R, detail::byte_view... Views>
constexpr void drop(R& resource, const Views&... views) {
  detail::drop(resource, 1, views...);
}
/// ... that alloc was asked to align to `align.bytes` bytes, which a resource without `drop` has to be told.
template <byte_source R, detail::byte_view... Views>
constexpr void drop(R& resource, alignment align, const Views&... views) {
  detail::drop(resource, align.bytes, views...);
}

/// The buffer's own memory, from its beginning, as an array: nothing is allocated, and later calls see the same memory
/// in other shapes. Until the buffer is reset, nothing can be allocated from it. A slab_resource that may grow takes
/// new memory when a call needs more than its slab has: later calls see that, views from before keep the old memory,
/// and nothing is copied. Throws: order_error when the buffer has allocations; exhausted when it is fixed and too
/// small; invalid_argument when its memory is not aligned for a T; what alloc throws.
template <class T, class Layout = std::layout_right, detail::reshapable R, std::integral... I>
[[nodiscard]] constexpr auto reshape_buffer(R& resource, I... dims) {
  return detail::reshape_extents<T, Layout>(resource, 0, detail::extents_of(dims...));
}
/// ... from that element on.
template <class T, class Layout = std::layout_right, detail::reshapable R, std::integral... I>
[[nodiscard]] constexpr auto reshape_buffer_at(R& resource, std::integral auto offset_elements, I... dims) {
  return detail::reshape_extents<T, Layout>(resource, detail::to_size(offset_elements, "an offset"),
                                            detail::extents_of(dims...));
}

}  // namespace buffers
