// retry_resource calls you when memory is out, and asks upstream again if you say that it is worth it.
//
//     allocate ─▶ upstream ── bad_alloc ──▶ callback() ── false ──▶ the same bad_alloc
//                    ▲                          │
//                    └────────── true ──────────┘
//
//   operation     cost        what it does
//   allocate      upstream's  and the callback's, each time that upstream has no memory
//   deallocate    upstream's
//
// Threads: as upstream and the callback.
//
//     buffers::limit_resource budget{4096};
//     std::pmr::vector<std::byte> cache(4000, &budget);
//     const auto drop_cache = [&] { return std::exchange(cache, std::pmr::vector<std::byte>(&budget)).size() != 0; };
//     buffers::retry_resource memory{drop_cache, &budget};
//     std::pmr::vector<std::byte> needed(1000, &memory);
module;
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <new>
#include <utility>
export module buffers.resources:retry;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// A callback for when upstream is out of memory. It is called as `callback()`, or as `callback(bytes)` when it takes
/// the size of the request, and says whether to try again: return false when there is nothing more to free, or
/// allocate never ends. It is kept by value in here. It may deallocate from this and from upstream, but not from a
/// concurrent_pool_resource or synchronized_resource in front of this, which wait for this call to end.
template <class Callback>
  requires std::predicate<Callback&> || std::predicate<Callback&, std::size_t>
class retry_resource final : public detail::resource_base<retry_resource<Callback>> {
 public:
  /// In front of upstream, which must outlive this. Throws invalid_argument for an empty std::function, or null.
  explicit retry_resource(Callback callback,
                          gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource())
      : upstream_(upstream), callback_(std::move(callback)) {
    if constexpr (std::is_pointer_v<Callback> || requires { callback_.operator bool(); })
      if (!callback_) detail::throw_option("retry_resource::callback", "must not be empty");
  }

  /// Memory from upstream.
  /// Throws: upstream's bad_alloc when the callback says false; what the callback throws; what else upstream throws,
  /// without calling it; invalid_argument when alignment is no power of two; bad_alloc without calling it when no
  /// object can be so large.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    for (;;) {
      try {
        return upstream_->allocate(bytes, alignment);
      } catch (const std::bad_alloc&) {
        if (!ask(bytes)) throw;
      }
    }
  }

  /// Gives the block upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    upstream_->deallocate(block, bytes, alignment);
  }

  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  [[gnu::cold]] bool ask(std::size_t bytes) {
    if constexpr (std::predicate<Callback&>)
      return callback_();
    else
      return callback_(bytes);
  }

  std::pmr::memory_resource* upstream_;
  [[no_unique_address]] Callback callback_;
};

}  // namespace buffers
