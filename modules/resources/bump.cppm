// bump_resource hands out a fixed piece of memory from one end to the other.
//
//     ┌────────┬──────┬───────────┬──────────────────────────┐
//     │ block  │ block│ newest    │ free                     │   capacity()
//     └────────┴──────┴───────────┴──────────────────────────┘
//      ───────── used() ────────── ▲ the next block starts here, at a multiple of 16 bytes
//
//   operation              cost   what it does
//   allocate               O(1)   moves the end; `exhausted` when it does not fit
//   try_allocate           O(1)   the same; null when it does not fit
//   deallocate             O(1)   gives back the newest block; any other stays in use until a scope, restore or reset
//   try_expand, shrink     O(1)   the newest block, in place
//   checkpoint, restore    O(1)   notes the end, and goes back to it
//   reset                  O(1)   forgets all blocks
//   drop                   O(k)   k blocks dropped out of order and not yet reclaimed
//
// Threads: one at a time.
//
//     alignas(64) std::byte storage[4096];
//     buffers::bump_resource buffer{std::span{storage}};
//     std::pmr::vector<int> squares{&buffer};
//     for (int i = 0; i < 10; ++i) squares.push_back(i * i);
module;
#include <concepts>
#include <cstddef>
#include <cstdint>
export module buffers.resources:bump;
import buffers.core;
import buffers.std;
import :arena;

export namespace buffers {

/// A fixed buffer. It never grows: what does not fit is an `exhausted`, and the state is as before.
class bump_resource final : public std::pmr::memory_resource {
 public:
  /// The bytes of a buffer for which no size is given.
  static constexpr std::size_t default_capacity = 128 * 1024;
  /// What memory from upstream is aligned to.
  static constexpr std::size_t base_alignment = 64;

  /// Gets `bytes` bytes, aligned to base_alignment, from upstream, which must outlive this. Throws what upstream
  /// throws.
  explicit bump_resource(std::size_t bytes = default_capacity,
                         gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource());
  /// Over memory that it does not own, and that must outlive it. Blocks start at multiples of 16 bytes, so storage with
  /// less alignment loses up to 15 bytes.
  explicit bump_resource(std::span<std::byte> storage) noexcept;
  template <class Byte, std::size_t N>
    requires(std::same_as<Byte, char> || std::same_as<Byte, unsigned char>)
  inline explicit bump_resource(std::span<Byte, N> storage) noexcept
      : bump_resource(std::span<std::byte>(std::as_writable_bytes(storage))) {}
  bump_resource(const bump_resource&) = delete;
  bump_resource& operator=(const bump_resource&) = delete;
  ~bump_resource() override;

  /// Uninitialised memory for `bytes` bytes, aligned to `alignment`.
  /// Throws: exhausted when it does not fit; after release() or trim(), what upstream throws; invalid_argument when
  /// alignment is no power of two; order_error while the buffer is reshaped.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (void* block = now_.take(bytes, alignment)) [[likely]]
      return block;
    return allocate_slow(bytes, alignment);
  }
  /// The same, but null instead of `exhausted` when it does not fit. What upstream throws, after release() or trim(),
  /// passes.
  [[nodiscard]] inline void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (void* block = now_.take(bytes, alignment)) [[likely]]
      return block;
    return try_allocate_slow(bytes, alignment);
  }

  /// Gives the block back when it is the newest. Null is ignored.
  /// What is from outside an open scope counts as used again when that ends.
  inline void deallocate(void* block, std::size_t bytes, std::size_t = alignof(std::max_align_t)) noexcept {
    if constexpr (detail::hardened) note_freed(block, bytes);
    detail::poison(block, bytes);
    if (now_.is_newest(block, bytes)) {
      meter_.falling(now_.top);
      now_.top = detail::address(block) - 1;
      if (now_.holes != nullptr) [[unlikely]]
        now_.reclaim(order_.floor(nullptr, nullptr));
    }
  }

  /// The same for a block that may be from anywhere: one that is not from here is left alone.
  inline void deallocate_if_own(void* block, std::size_t bytes,
                                std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (now_.contains(block)) deallocate(block, bytes, alignment);
  }

  /// Makes the newest block longer, where it is; false, and nothing done, when it is not the newest, does not fit, or
  /// is older than an open scope or the last checkpoint, which would cut it.
  [[nodiscard]] inline bool try_expand(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    return detail::address(block) > grows_after_ && detail::address(block) > order_.floor(nullptr, nullptr) &&
           now_.try_expand(block, old_bytes, new_bytes);
  }
  /// Makes the newest block shorter, where it is; false, and nothing done, when it is not the newest. Not to 0 bytes.
  inline bool shrink(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    meter_.falling(now_.top);
    return now_.try_shrink(block, old_bytes, new_bytes);
  }

  /// A moment to go back to.
  class checkpoint_type {
    friend bump_resource;
    const bump_resource* owner;
    std::uint64_t serial;
    std::size_t height;  // of top above base: after a trim() the memory lies elsewhere
  };
  /// This moment, for restore(). Until it is restored, no block from before it can be expanded.
  [[nodiscard]] inline checkpoint_type checkpoint() noexcept {
    checkpoint_type cp;
    cp.owner = this;
    cp.serial = order_.issue(nullptr);
    cp.height = now_.top - now_.base;
    grows_after_ = now_.top;
    return cp;
  }
  /// Gives back all that was allocated after the checkpoint, which can be restored again.
  /// Throws order_error for a checkpoint of another resource, one from before a reset, one that is older than an open
  /// scope, and one that is younger than one restored since. It remembers the four latest ranges of those, 64 in the
  /// hardened build, with checkpoints in between that may still be restored; one of an older range is not recognised.
  void restore(const checkpoint_type& cp);

  /// Forgets all blocks and keeps the memory. Throws order_error while a scope is open.
  void reset();
  /// reset(), and gives the memory upstream; the next request gets it again. Throws order_error while a scope is open.
  void release();
  /// Gives the memory upstream when nothing is in use and it is more than keep_bytes. Returns the bytes given.
  std::size_t trim(std::size_t keep_bytes) noexcept;

  /// Gives back views in any order: see buffers::drop.
  void drop(std::span<const std::span<std::byte>> blocks);
  /// The buffer's memory, at least `bytes` of it, as it is: see buffers::reshape_buffer. Throws invalid_argument when
  /// it does not begin at a multiple of `alignment`, a power of two.
  [[nodiscard]] std::byte* reshape(std::size_t bytes, std::size_t alignment = 1);
  /// Whether reshape() has been called, and no reset(), nor what goes back to before it.
  [[nodiscard]] bool is_reshaped() const noexcept { return reshaped_ != 0; }

  /// The bytes from the start of the buffer to the end of the newest block, padding included. When that block is given
  /// back, up to 15 bytes of padding in front of it stay until the block before it goes as well.
  [[nodiscard]] inline std::size_t used() const noexcept { return now_.top - now_.zero; }
  /// The greatest used() since construction or reset_peak(): a buffer of this capacity would have been enough for the
  /// blocks. What reshape() hands out, without a block, does not count.
  [[nodiscard]] std::size_t peak() const noexcept { return meter_.peak(now_, 0); }
  /// peak() is used() from now on.
  void reset_peak() noexcept { meter_.restart(now_, 0); }
  /// The bytes that the buffer has in total.
  [[nodiscard]] inline std::size_t capacity() const noexcept { return capacity_; }
  /// Whether the byte lies in this buffer's memory.
  [[nodiscard]] inline bool owns(const void* byte) const noexcept { return now_.contains(byte); }
  /// Where the memory is from; null for memory that this does not own.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

  /// What `scope` is made of: use that instead.
  using scope_mark = detail::scope_mark;
  inline void open_scope(scope_mark& opened) noexcept { order_.open_scope(opened, now_.top); }
  inline void close_scope(scope_mark& opened) noexcept {
    if (!order_.close_scope(opened)) [[unlikely]]
      return close_scope_slow(opened);
    go_back(opened.top);
  }

 private:
  inline void go_back(std::uintptr_t top) noexcept {
    if (now_.top > top) detail::poison(reinterpret_cast<void*>(top + 1), now_.top - top);
    meter_.falling(now_.top);
    now_.return_to(top);
  }
  [[gnu::cold]] void* allocate_slow(std::size_t bytes, std::size_t alignment);
  [[gnu::cold]] void* try_allocate_slow(std::size_t bytes, std::size_t alignment, std::size_t* left = nullptr);
  [[gnu::cold]] void close_scope_slow(scope_mark& opened) noexcept;
  void go_back_past_holes(std::uintptr_t top) noexcept;
  void note_freed(const void* block, std::size_t bytes) noexcept;
  void acquire();
  void give_memory_back() noexcept;
  void leave_reshape() noexcept;
  std::size_t available(std::size_t alignment) const noexcept;

  [[gnu::aligned(64)]] void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    if (void* block = now_.take(bytes, alignment)) [[likely]]
      return detail::unpoisoned_in_virtual(block, bytes);
    return allocate_slow(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    detail::poison_in_virtual(block, bytes);
    deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  detail::region now_;
  detail::peak_meter meter_;
  detail::checkpoint_order order_;
  std::uintptr_t grows_after_ = 0;  // blocks up to here are older than a checkpoint
  std::uint64_t reshaped_ = 0;      // the serial at which reshape() began; 0: not reshaped
  std::byte* memory_ = nullptr;
  std::size_t capacity_;
  std::pmr::memory_resource* upstream_;
};

static_assert(checkpointable<bump_resource>);

}  // namespace buffers
