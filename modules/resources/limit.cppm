// limit_resource is a byte budget: what would exceed it is refused, whatever upstream has.
//
//     capacity()  ┌──────────────────────────┬───────────────────┐
//                 │ used(): bytes handed out │ available()       │
//                 └──────────────────────────┴───────────────────┘
//
//   operation     cost                      what it does
//   allocate      two atomics and upstream  `exhausted` when more is asked for than is left
//   try_allocate  two atomics and upstream  the same; null when more is asked for than is left
//   deallocate    one atomic and upstream   the bytes are available again
//   reset_peak    O(1)                      peak() begins anew
//
// Threads: any thread at any time, if upstream allows that.
//
//     buffers::limit_resource budget{1 << 20};
//     std::pmr::string text{&budget};
//     try {
//       for (;;) text += "no more than a mebibyte of this";
//     } catch (const buffers::exhausted& full) {
//       std::puts(full.what());
//     }
module;
#include <cstddef>
export module buffers.resources:limit;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// A budget of bytes on another resource. What counts is the bytes that were asked for, without what upstream adds for
/// alignment and for itself. The budget holds at every moment, and a request that is refused takes none of it, not even
/// for a moment: another thread's smaller one succeeds.
class limit_resource final : public detail::resource_base<limit_resource> {
 public:
  /// At most `bytes` bytes at a time from upstream, which must outlive this.
  inline explicit limit_resource(
      std::size_t bytes, gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource()) noexcept
      : limit_(bytes), upstream_(upstream) {}

  /// Memory from upstream.
  /// Throws: exhausted when more is asked for than is available; what upstream throws, with the budget as before;
  /// invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    std::size_t used;
    if (!count_.reserve(bytes, limit_, used)) [[unlikely]]
      throw_exhausted(bytes, used);
    return allocate_reserved(bytes, alignment, used);
  }
  /// The same, but null instead of `exhausted` when more is asked for than is available. What upstream throws passes.
  [[nodiscard]] inline void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    std::size_t used;
    return count_.reserve(bytes, limit_, used) ? allocate_reserved(bytes, alignment, used) : nullptr;
  }

  /// Gives the block upstream, and then its bytes back to the budget. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    if constexpr (detail::hardened)
      if (used() < bytes) detail::violate("deallocate: more bytes than this limit_resource has handed out");
    upstream_->deallocate(block, bytes, alignment);
    count_.give_back(bytes);
  }

  /// The bytes handed out, and those that upstream is being asked for at this moment.
  [[nodiscard]] inline std::size_t used() const noexcept { return count_.used(); }
  /// The greatest used() with a request that was granted, since construction or reset_peak().
  [[nodiscard]] inline std::size_t peak() const noexcept { return count_.peak(); }
  /// peak() is used() from now on.
  inline void reset_peak() noexcept { count_.reset_peak(); }
  /// The bytes that are left.
  [[nodiscard]] inline std::size_t available() const noexcept { return limit_ - count_.used(); }
  /// The whole budget in bytes.
  [[nodiscard]] inline std::size_t capacity() const noexcept { return limit_; }
  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  inline void* allocate_reserved(std::size_t bytes, std::size_t alignment, std::size_t used) {
    void* block;
    try {
      block = upstream_->allocate(bytes, alignment);
    } catch (...) {
      count_.give_back(bytes);
      throw;
    }
    count_.raise_peak(used);
    return block;
  }
  [[noreturn, gnu::cold]] void throw_exhausted(std::size_t requested, std::size_t used) const {
    throw exhausted(requested, limit_ - used, limit_, true);
  }

  detail::shared_count count_;
  std::size_t limit_;
  std::pmr::memory_resource* upstream_;
};

}  // namespace buffers
