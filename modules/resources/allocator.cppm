// allocator<T, Resource> lets standard containers call a resource of known type directly, where std::pmr's goes through
// a virtual function.
//
//     std::pmr::vector<T>         ──▶ memory_resource's virtual function ──▶ Resource
//     vector<T, allocator<T, R>>  ─────────────────────────────────────────▶ R::allocate, inlined
//
//   operation    cost              what it does
//   allocate     as the resource   an array of n elements
//   construct    as T              hands itself on to elements that take an allocator, as std::pmr's does
//
// Threads: as the resource.
//
//     buffers::slab_resource scratch;
//     std::vector<int, buffers::allocator<int, buffers::slab_resource>> ids{{1, 2, 3}, scratch};
module;
#include <cstddef>
#include <type_traits>
#include <utility>
export module buffers.resources:allocator;
import buffers.core;
import buffers.std;

export namespace buffers {

/// An allocator over a resource that it does not own and that must outlive it. Like std::pmr::polymorphic_allocator it
/// stays with its container: it is not propagated on assignment and swap. Two compare equal when their resource is one.
template <class T, byte_source Resource>
class allocator {
 public:
  using value_type = T;

  /// Allocates from that resource, by reference or by pointer, which must not be null.
  constexpr allocator(Resource& resource) noexcept : resource_(&resource) {}  // NOLINT: as polymorphic_allocator
  constexpr allocator(Resource* resource) noexcept : resource_(resource) {}   // NOLINT
  /// From the resource of an allocator of other elements.
  template <class U>
  constexpr allocator(const allocator<U, Resource>& other) noexcept : resource_(other.resource()) {}  // NOLINT

  /// Memory for `count` elements. Throws bad_array_new_length when that is more bytes than there are; what the resource
  /// throws.
  [[nodiscard]] constexpr T* allocate(std::size_t count) {
    return static_cast<T*>(resource_->allocate(detail::multiply(count, sizeof(T)), alignof(T)));
  }
  /// Gives the memory of `count` elements back to the resource.
  constexpr void deallocate(T* elements, std::size_t count) noexcept {
    resource_->deallocate(elements, count * sizeof(T), alignof(T));
  }

  /// Makes a U there, with this as its allocator where it takes one. Throws what its constructor throws.
  template <class U, class... Args>
  constexpr void construct(U* at, Args&&... args) {
    std::uninitialized_construct_using_allocator(at, *this, std::forward<Args>(args)...);
  }

  /// Where the memory is from.
  [[nodiscard]] constexpr Resource* resource() const noexcept { return resource_; }
  [[nodiscard]] friend constexpr bool operator==(const allocator& a, const allocator& b) noexcept {
    return a.resource_ == b.resource_;
  }
  template <class U>
  [[nodiscard]] friend constexpr bool operator==(const allocator& a, const allocator<U, Resource>& b) noexcept {
    return a.resource() == b.resource();
  }

 private:
  Resource* resource_;
};

}  // namespace buffers
