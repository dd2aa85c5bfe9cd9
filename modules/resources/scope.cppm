// scope gives back, at its closing brace, all that a buffer handed out since it was opened: on return, break and
// exception alike. no_escape runs a function in a scope, and does not compile where the result's type shows that it
// could point into the buffer; what a struct of yours, a closure or a std::function holds is not seen.
//
//     ┌──────────────┬────────────────────┬──────┐
//     │ used before  │ used in the scope  │ free │
//     └──────────────┴────────────────────┴──────┘
//           opened here ▲ ◀── closed: back to there
//
//   operation    cost   what it does
//   scope        O(1)   a checkpoint, restored by the destructor
//   no_escape    O(1)   a scope around a call
//
// Scopes of one resource are nested; those of different resources are independent. Threads: as the resource.
//
//     buffers::slab_resource scratch;
//     const int total = buffers::no_escape(scratch, [&](auto& buffer) {
//       std::pmr::vector<int> squares{&buffer};
//       for (int i = 0; i < 10; ++i) squares.push_back(i * i);
//       return std::accumulate(squares.begin(), squares.end(), 0);
//     });
//     assert(total == 285 && scratch.used() == 0);
module;
#include <concepts>
#include <cstddef>
#include <initializer_list>
#include <type_traits>
#include <utility>
export module buffers.resources:scope;
import buffers.core;
import buffers.std;
import :allocator;

namespace buffers::detail {

template <class R>
concept scoped = requires(R& resource, typename R::scope_mark& opened) {
  resource.open_scope(opened);
  resource.close_scope(opened);
};

template <checkpointable R>
struct opened_scope {
  using type = decltype(std::declval<R&>().checkpoint());
};
template <checkpointable R>
  requires scoped<R>
struct opened_scope<R> {
  using type = typename R::scope_mark;
};

// std::reference_wrapper, without the large header that it is in.
template <class T>
concept reference_wrapping = requires(const T& value) {
  typename T::type;
  { value.get() } -> std::same_as<typename T::type&>;
};

// Stands for a bit in memory: the reference of std::vector<bool>, of any allocator.
template <class T>
concept bit_reference = std::is_class_v<T> && std::is_convertible_v<T, bool> && requires(T bit) {
  bit.flip();
  bit = true;
};
// What std::from_chars and std::to_chars return.
template <class T>
concept chars_result = requires { requires std::is_pointer_v<decltype(T::ptr)> && requires { T::ec; }; };

// What f(resource) returns, or f() where that is not possible.
template <class F, class R>
struct result_with_or_without {
  using type = std::invoke_result_t<F>;
};
template <class F, class R>
  requires std::invocable<F, R&>
struct result_with_or_without<F, R> {
  using type = std::invoke_result_t<F, R&>;
};
export template <class F, class R>
using result_with = typename result_with_or_without<F, R>::type;

template <class T>
inline constexpr bool points = (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) ||
                               std::is_reference_v<T> || std::ranges::view<T> || std::input_or_output_iterator<T> ||
                               reference_wrapping<T> || bit_reference<T> || chars_result<T> || borrowing<T>;

}  // namespace buffers::detail

export namespace buffers {

/// A part of a program at whose end a resource is back where it was at the beginning.
/// The resources here refuse to be restored past an open scope (order_error); scopes end in the reverse order of their
/// beginning, as local variables do.
template <checkpointable R>
class [[nodiscard]] scope {
 public:
  using borrows_memory = void;  // see escapes
  constexpr explicit scope(R& resource)
    requires detail::scoped<R>
      : resource_(resource) {
    resource_.open_scope(opened_);
  }
  constexpr explicit scope(R& resource) : resource_(resource), opened_(resource.checkpoint()) {}
  scope(const scope&) = delete;
  scope& operator=(const scope&) = delete;
  constexpr ~scope() {
    if constexpr (detail::scoped<R>)
      resource_.close_scope(opened_);
    else
      resource_.restore(opened_);
  }

  /// The resource, for allocations that the scope is to end.
  [[nodiscard]] constexpr R& resource() const noexcept { return resource_; }

 private:
  R& resource_;
  typename detail::opened_scope<R>::type opened_;
};

template <class R>
scope(R&) -> scope<R>;

/// Whether a value of this type could point into a buffer: pointers, references, iterators, views (span, string_view
/// and mdspan among them), tensors, their views and expressions of them, containers with a polymorphic allocator or
/// buffers::allocator, and what is made of those: class templates of such types count as well. Specialise it for types
/// of your own.
template <class T>
inline constexpr bool escapes = detail::points<T>;

template <template <class...> class Of, class... T>  // the results of algorithms, std::cmatch, ...
inline constexpr bool escapes<Of<T...>> = detail::points<Of<T...>> || (escapes<T> || ...);
template <template <class, auto, auto...> class Of, class T, auto N, auto... M>  // std::array
inline constexpr bool escapes<Of<T, N, M...>> = detail::points<Of<T, N, M...>> || escapes<T>;
template <template <class, auto, auto...> class Of, class T, auto N, auto... M>  // tensors
  requires requires { typename Of<T, N, M...>::allocator_type; }
inline constexpr bool escapes<Of<T, N, M...>> = escapes<typename Of<T, N, M...>::allocator_type> || escapes<T>;
template <class T>
inline constexpr bool escapes<const T> = escapes<T>;
template <class T, std::size_t N>
inline constexpr bool escapes<T[N]> = escapes<T>;
template <class T, class Extents, class Layout, class Accessor>
inline constexpr bool escapes<std::mdspan<T, Extents, Layout, Accessor>> = true;
template <class T>
inline constexpr bool escapes<std::optional<T>> = escapes<T>;
template <class T>
inline constexpr bool escapes<std::initializer_list<T>> = true;
template <class T, class Deleter>
inline constexpr bool escapes<std::unique_ptr<T, Deleter>> = escapes<std::remove_extent_t<T>> || escapes<Deleter>;
template <class T>
inline constexpr bool escapes<std::shared_ptr<T>> = escapes<std::remove_extent_t<T>>;
template <class T>
inline constexpr bool escapes<gsl::not_null<T>> = escapes<T>;
template <class... T>
inline constexpr bool escapes<std::variant<T...>> = (escapes<T> || ...);
template <class T, class E>
inline constexpr bool escapes<std::expected<T, E>> = escapes<T> || escapes<E>;
template <class A, class B>
inline constexpr bool escapes<std::pair<A, B>> = escapes<A> || escapes<B>;
template <class... T>
inline constexpr bool escapes<std::tuple<T...>> = (escapes<T> || ...);
template <class T>
inline constexpr bool escapes<std::pmr::polymorphic_allocator<T>> = true;
template <class T, class R>
inline constexpr bool escapes<allocator<T, R>> = true;
template <class T>
  requires requires { typename T::allocator_type; }
inline constexpr bool escapes<T> = escapes<typename T::allocator_type> || [] {
  if constexpr (requires { typename T::value_type; })
    return escapes<typename T::value_type>;
  else
    return false;
}();

template <class T>  // a stack, a queue
  requires requires { typename T::container_type; } && (!std::input_or_output_iterator<T>)
inline constexpr bool escapes<T> = escapes<typename T::container_type>;

/// What no_escape may return: values that cannot point into the buffer (trait `escapes`).
template <class T>
concept may_leave_a_scope = !escapes<T>;

/// Runs `f(resource)`, or `f()` where that is not possible, in a scope of the resource and returns its value. A result
/// that could point into the buffer does not compile. Throws what f throws, after the scope has
/// ended.
template <checkpointable R, class F>
  requires((std::invocable<F, R&> || std::invocable<F>) && may_leave_a_scope<detail::result_with<F, R>>)
constexpr detail::result_with<F, R> no_escape(R& resource, F&& f) {
  scope inner{resource};
  if constexpr (std::invocable<F, R&>)
    return std::forward<F>(f)(resource);
  else
    return std::forward<F>(f)();
}

}  // namespace buffers
