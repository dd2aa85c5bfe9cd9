// synchronized_resource lets several threads use a resource that is made for one, one after the other.
//
//     thread ─┐
//     thread ─┼─▶ mutex ─▶ upstream   one call at a time
//     thread ─┘
//
//   operation     cost                       what it does
//   allocate      a lock and upstream        waits for its turn
//   deallocate    a lock and upstream        waits for its turn; by any thread
//
// Threads: any thread at any time, as long as all calls to upstream go through this.
//
//     buffers::slab_resource scratch;
//     buffers::synchronized_resource shared{&scratch};
//     std::thread other([&] { std::pmr::vector<int> numbers(1000, &shared); });
//     std::pmr::vector<int> numbers(1000, &shared);
//     other.join();
module;
#include <cstddef>
export module buffers.resources:synchronized;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// A mutex in front of another resource. Upstream must not call this while it is being called: that would wait for
/// itself.
class synchronized_resource final : public detail::resource_base<synchronized_resource> {
 public:
  /// In front of upstream, which must outlive this.
  inline explicit synchronized_resource(gsl::not_null<std::pmr::memory_resource*> upstream) noexcept
      : upstream_(upstream) {}

  /// Memory from upstream.
  /// Throws: what upstream throws, with the mutex free again; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    const std::lock_guard turn(mutex_);
    return upstream_->allocate(bytes, alignment);
  }

  /// Gives the block upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    const std::lock_guard turn(mutex_);
    upstream_->deallocate(block, bytes, alignment);
  }

  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  std::mutex mutex_;
  std::pmr::memory_resource* upstream_;
};

}  // namespace buffers
