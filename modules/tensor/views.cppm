// Small questions about a std::mdspan, a tensor or a tensor_view.
//
//   operation       cost      what it does
//   is_contiguous   O(rank)   whether the elements lie in memory without gaps
//   neuralyze       O(rank)   the same memory, with its origin hidden from the optimiser
//
// Threads: functions of their arguments; they read no elements.
module;
#include <cstddef>
#include <mdspan>
#include <stdexcept>
export module buffers.tensor:views;
import buffers.core;
import :movement;
import :tensor_view;

export namespace buffers {

/// Whether the elements fill their part of the memory without gaps, in whatever order of dimensions. Dimensions of size
/// 1 have no say.
template <class T, class Extents, class Layout, class Accessor>
[[nodiscard]] constexpr bool is_contiguous(const std::mdspan<T, Extents, Layout, Accessor>& view) {
  if (view.empty()) return true;
  return static_cast<std::size_t>(view.mapping().required_span_size()) == static_cast<std::size_t>(view.size());
}
/// The member of a tensor or a tensor_view, for which only row by row will do.
template <class X>
  requires detail::viewable<X>
[[nodiscard]] bool is_contiguous(X&& x) noexcept {
  return x.is_contiguous();
}

/// The same view of the same memory, but the optimiser no longer knows that it has anything to do with the buffer or
/// with other views of it: for passing to C, or for an array that is to be treated as if it were alone. Throws
/// invalid_argument when the view is not contiguous.
template <class T, class Extents, class Layout, class Accessor>
[[nodiscard]] constexpr std::mdspan<T, Extents, Layout, Accessor> neuralyze(
    const std::mdspan<T, Extents, Layout, Accessor>& view) {
  if (!is_contiguous(view)) throw std::invalid_argument("buffers: neuralyze: the view is not contiguous");
  if consteval {
    return view;
  }
  return {detail::launder_origin(view.data_handle()), view.mapping(), view.accessor()};
}
/// ... of a tensor or a tensor_view: a tensor_view.
template <class X>
  requires detail::viewable<X>
[[nodiscard]] auto neuralyze(X&& x) {
  const auto view = detail::view_of(x);
  if (!view.is_contiguous()) throw std::invalid_argument("buffers: neuralyze: the view is not contiguous");
  return detail::view_access::make(detail::launder_origin(view.data()), view.shape(), view.strides(), view.offset(),
                                   view.resource());
}

}  // namespace buffers
