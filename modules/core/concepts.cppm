// What a type must have to take part: two functions make an allocator of your own work with alloc, two more with scope
// and no_escape.
module;
#include <concepts>
#include <cstddef>
export module buffers.core:concepts;

export namespace buffers {

/// Something that hands out bytes: any std::pmr::memory_resource, and any type with the same two functions.
template <class R>
concept byte_source = requires(R& resource, void* block, std::size_t bytes, std::size_t alignment) {
  { resource.allocate(bytes, alignment) } -> std::convertible_to<void*>;
  resource.deallocate(block, bytes, alignment);
};

/// A byte source whose state can be taken down and gone back to. `checkpoint()` gives a small copyable value;
/// `restore(value)` gives back everything allocated since. Deriving from std::pmr::memory_resource is not asked for
/// here: it is what lets the standard containers allocate from the type as well.
template <class R>
concept checkpointable = byte_source<R> && requires(R& resource) {
  { resource.checkpoint() } -> std::copyable;
  resource.restore(resource.checkpoint());
};

}  // namespace buffers

export namespace buffers::detail {

/// A type that says of its values that they may point into memory of others: see buffers::escapes.
template <class T>
concept borrowing = requires { typename T::borrows_memory; };

/// A resource whose used() and capacity() are sums over buffers that other threads may be using.
template <class R>
concept summing_over_threads = requires { typename R::sums_over_threads; };

}  // namespace buffers::detail
