// fallback_resource takes memory from a second resource when the first has none.
//
//     allocate   ─▶ first ── has none ──▶ second, and the block's address is noted
//     deallocate ─▶ noted? ── no ──▶ first
//                      └───── yes ──▶ second
//
//   operation     cost                      what it does
//   allocate      first's                   or a table look-up and second's; and an exception, where first is not
//                                           known to have try_allocate
//   deallocate    first's or second's       and a table look-up while blocks of second are live
//
// Threads: one at a time.
//
//     alignas(64) std::byte storage[1024];
//     buffers::bump_resource stack{std::span{storage}};
//     buffers::fallback_resource memory{&stack, std::pmr::new_delete_resource()};
//     std::pmr::vector<int> few(100, 0, &memory);      // on the stack
//     std::pmr::vector<int> many(10'000, 0, &memory);  // on the heap
//     assert(memory.second_blocks() == 1);
module;
#include <concepts>
#include <cstddef>
#include <new>
#include <type_traits>
export module buffers.resources:fallback;
import buffers.core;
import buffers.std;
import :adaptor;
import :address_set;

namespace buffers::detail {

/// Whether null tells that it has no memory: an exception takes hundreds of times as long.
template <class R>
concept has_try_allocate = std::is_final_v<R> && requires(R& resource, std::size_t bytes, std::size_t alignment) {
  { resource.try_allocate(bytes, alignment) } -> std::same_as<void*>;
};

/// A block of a resource; null when it has no memory.
using try_function = void* (*)(std::pmr::memory_resource & resource, std::size_t bytes, std::size_t alignment);
template <std::derived_from<std::pmr::memory_resource> R>
void* try_to_allocate(std::pmr::memory_resource& resource, std::size_t bytes, std::size_t alignment) try {
  if constexpr (has_try_allocate<R>)
    return static_cast<R&>(resource).try_allocate(bytes, alignment);
  else
    return resource.allocate(bytes, alignment);
} catch (const std::bad_alloc&) {
  return nullptr;
}

}  // namespace buffers::detail

export namespace buffers {

/// Two resources, of which the second is asked when the first throws bad_alloc, or its try_allocate returns null.
/// Blocks have no header: those of second are noted in a table. Six of them need no more memory than this object; for
/// more the table is from second too, 11 to 22 bytes for each of the most blocks at a time, and given back when
/// second's last block is. Until then, second must not be reset.
class fallback_resource final : public detail::resource_base<fallback_resource> {
 public:
  /// Both must outlive this.
  inline explicit fallback_resource(
      gsl::not_null<std::pmr::memory_resource*> first,
      gsl::not_null<std::pmr::memory_resource*> second = std::pmr::new_delete_resource()) noexcept
      : fallback_resource(first.get(), second) {}
  /// Where first is known to be a bump_resource, slab_resource or limit_resource, or a final class of yours that has
  /// try_allocate, what does not fit costs no exception.
  template <std::derived_from<std::pmr::memory_resource> R>
  inline explicit fallback_resource(
      R* first, gsl::not_null<std::pmr::memory_resource*> second = std::pmr::new_delete_resource()) noexcept
      : first_(gsl::not_null<R*>(first)),
        try_first_(detail::try_to_allocate<R>),
        second_(second),
        from_second_(second) {}

  /// Memory from first, or else from second.
  /// Throws: what second throws; what first throws that is no bad_alloc; invalid_argument when alignment is no power of
  /// two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    if (void* const block = try_first_(*first_, bytes, alignment)) [[likely]]
      return block;
    return allocate_from_second(bytes, alignment);
  }

  /// Gives the block to where it is from. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    const bool from_second = from_second_.size() != 0 && from_second_.erase(block);
    (from_second ? second_ : first_)->deallocate(block, bytes, alignment);
  }

  /// How many live blocks are from second.
  [[nodiscard]] inline std::size_t second_blocks() const noexcept { return from_second_.size(); }
  /// First.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return first_; }
  /// Second.
  [[nodiscard]] inline std::pmr::memory_resource* second_resource() const noexcept { return second_; }

 private:
  [[gnu::cold]] void* allocate_from_second(std::size_t bytes, std::size_t alignment);

  std::pmr::memory_resource* first_;
  detail::try_function try_first_;
  std::pmr::memory_resource* second_;
  detail::address_set from_second_;
};

}  // namespace buffers
