// slab_resource grows: it cuts blocks off slabs that it gets one after the other, and never moves a block.
//
//     slabs    ┌──────────┐   ┌────────────────────┐   ┌────────────────────┐
//              │ in use   │ → │ current ▲          │ → │ kept for later     │
//              └──────────┘   └────────────────────┘   └────────────────────┘
//     oversize ┌──────────────────────────────────┐
//              │ a block too large for a slab     │   beside the slabs, and kept for the next of its size
//              └──────────────────────────────────┘
//
//   operation              cost   what it does
//   allocate               O(1)   moves the end in the current slab, or goes to the next slab
//                          O(k)   a block with memory of its own, k of these kept
//   try_allocate           O(1)   the same; null when it must not grow
//   deallocate             O(1)   gives back the newest block; any other stays in use until a scope, restore or reset
//                          O(k)   a block with memory of its own, k younger ones of these live
//   try_expand, shrink     O(1)   the newest block, in place
//   checkpoint, restore    O(1)   notes the end, and goes back to it; the slabs after it are kept
//   reset                  O(1)   forgets all blocks; the next round runs in one slab, 1/16 above the peak
//   trim, release          O(s)   give slabs upstream, s of them
//   drop                   O(s+k) k blocks dropped out of order and not yet reclaimed
//
// Going back takes a step more for each block with memory of its own. Threads: one at a time.
//
//     buffers::slab_resource scratch;
//     for (std::size_t n : {10uz, 1000uz, 100uz}) {
//       buffers::scope inner{scratch};
//       std::pmr::vector<int> numbers(n, 1, &scratch);
//       auto table = buffers::alloc<double>(scratch, n, 3);
//       table[n - 1, 2] = numbers[0];
//     }
//     assert(scratch.used() == 0);
module;
#include <cstddef>
#include <cstdint>
export module buffers.resources:slab;
import buffers.core;
import buffers.std;
import :arena;

export namespace buffers {

/// How a slab_resource grows. Sizes are in bytes, and rounded up to multiples of 64.
struct slab_options {
  /// The size of the first slab. From 1 to 2^61 - 1.
  std::size_t first_slab = 16 * 1024;
  /// How many times larger each slab is than the one before. From 1 to 1024.
  double growth = 2;
  /// From 1 to 2^61 - 1. No slab grows larger than this, or than the first one. A block that is larger than the next
  /// slab would be gets memory of its own. Where upstream is exhausted before that, the next slab is what is left
  /// there.
  std::size_t largest_slab = 1024 * 1024;
  /// Whether it may get more memory than its first slab or initial buffer.
  bool extendable = true;
  /// Memory to use before any other. It is not owned and must outlive the resource.
  std::span<std::byte> initial_buffer = {};
};

/// A buffer that grows by slabs. Nothing is allocated before the first request.
class slab_resource final : public std::pmr::memory_resource {
 public:
  /// Slabs come from upstream, which must outlive this.
  /// Throws: invalid_argument for an option out of range, naming the field.
  explicit slab_resource(const slab_options& options = {},
                         gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource());
  /// With the default options.
  inline explicit slab_resource(gsl::not_null<std::pmr::memory_resource*> upstream) : slab_resource({}, upstream) {}
  slab_resource(const slab_resource&) = delete;
  slab_resource& operator=(const slab_resource&) = delete;
  ~slab_resource() override;

  /// Uninitialised memory for `bytes` bytes, aligned to `alignment`.
  /// Throws: what upstream throws; exhausted when it must not grow; invalid_argument when alignment is no power of two;
  /// order_error while the buffer is reshaped.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (void* block = now_.take(bytes, alignment)) [[likely]]
      return block;
    return allocate_slow(bytes, alignment);
  }
  /// The same, but null instead of `exhausted` when it must not grow. What upstream throws passes.
  [[nodiscard]] inline void* try_allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (void* block = now_.take(bytes, alignment)) [[likely]]
      return block;
    return try_allocate_slow(bytes, alignment);
  }

  /// Gives the block back when it is the newest or has memory of its own. Null is ignored.
  /// What is from outside an open scope counts as used again when that ends.
  inline void deallocate(void* block, std::size_t bytes, std::size_t = alignof(std::max_align_t)) noexcept {
    if constexpr (detail::hardened) note_freed(block, bytes);
    detail::poison(block, bytes);
    if (now_.top == now_.base) [[unlikely]]  // the newest block is in a slab below
      deallocate_slow(block, bytes);
    else if (!give_newest(block, bytes) && bytes >= smallest_oversize_) [[unlikely]]
      deallocate_slow(block, bytes);
  }

  /// The same for a block that may be from anywhere: one that is not from here is left alone.
  inline void deallocate_if_own(void* block, std::size_t bytes,
                                std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (now_.contains(block) || (detail::hardened && owns(block)))
      deallocate(block, bytes, alignment);
    else if (bytes >= smallest_oversize_ || now_.top == now_.base) [[unlikely]]
      deallocate_slow(block, bytes);  // which looks for it
  }

  /// Makes the newest block longer, where it is; false, and nothing done, when it is not the newest, does not fit, or
  /// is older than an open scope or the last checkpoint, which would cut it.
  [[nodiscard]] inline bool try_expand(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    return detail::address(block) > grows_after_ && detail::address(block) > order_.floor(current_, current_) &&
           now_.try_expand(block, old_bytes, new_bytes);
  }
  /// Makes the newest block shorter, where it is; false, and nothing done, when it is not the newest. Not to 0 bytes.
  inline bool shrink(void* block, std::size_t old_bytes, std::size_t new_bytes) noexcept {
    meter_.falling(now_.top);
    return now_.try_shrink(block, old_bytes, new_bytes);
  }

  /// A moment to go back to.
  class checkpoint_type;
  /// This moment, for restore(). Until it is restored, no block from before it can be expanded.
  [[nodiscard]] checkpoint_type checkpoint() noexcept;
  /// Gives back all that was allocated after the checkpoint, which can be restored again. The slabs are kept.
  /// Throws order_error for a checkpoint of another resource, one from before a reset, one that is older than an open
  /// scope, and one that is younger than one restored since. It remembers the four latest ranges of those, 64 in the
  /// hardened build, with checkpoints in between that may still be restored; one of an older range is not recognised.
  void restore(const checkpoint_type& cp);

  /// Forgets all blocks and keeps the memory. When they did not all lie in one slab, the next request gets a
  /// single one, a sixteenth larger than their peak, and the others go upstream. Throws order_error while a scope is
  /// open.
  void reset();
  /// reset(), and gives all memory upstream. Throws order_error while a scope is open.
  void release();
  /// Gives slabs and large blocks that are not in use upstream until at most keep_bytes of them are left. Returns the
  /// bytes given.
  std::size_t trim(std::size_t keep_bytes) noexcept;

  /// Whether it may get more memory from upstream.
  [[nodiscard]] inline bool extendable() const noexcept { return options_.extendable; }
  /// Allows or forbids that, for later requests only. O(1).
  inline void set_extendable(bool extendable = true) noexcept { options_.extendable = extendable; }

  /// Gives back views in any order: see buffers::drop.
  void drop(std::span<const std::span<std::byte>> blocks);
  /// At least `bytes` bytes of memory in one piece, as they are: see buffers::reshape_buffer. A call that needs more
  /// than those before gets other memory, and their views keep theirs. Throws invalid_argument for an alignment above
  /// that of the slabs, 64.
  [[nodiscard]] std::byte* reshape(std::size_t bytes, std::size_t alignment = 1);
  /// Whether reshape() has been called, and no reset(), nor what goes back to before it.
  [[nodiscard]] bool is_reshaped() const noexcept { return reshaped_ != 0; }

  /// The bytes in use, padding between blocks included. When the newest block is given back, up to 15 bytes of padding
  /// in front of it stay until the block before it goes as well.
  [[nodiscard]] inline std::size_t used() const noexcept { return now_.top - now_.zero + oversize_used_; }
  /// The greatest used() since construction or reset_peak(). What reshape() hands out, without a block, does not count.
  [[nodiscard]] std::size_t peak() const noexcept { return meter_.peak(now_, oversize_used_); }
  /// peak() is used() from now on.
  void reset_peak() noexcept { meter_.restart(now_, oversize_used_); }
  /// The bytes that it holds, in use or not.
  [[nodiscard]] inline std::size_t capacity() const noexcept { return capacity_; }
  /// Whether the byte lies in memory that this holds. O(slabs and blocks with memory of their own).
  [[nodiscard]] bool owns(const void* byte) const noexcept;
  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

  /// What `scope` is made of: use that instead.
  using scope_mark = detail::scope_mark;
  inline void open_scope(scope_mark& opened) noexcept { order_.open_scope(opened, now_.top); }
  inline void close_scope(scope_mark& opened) noexcept {
    if (!order_.close_scope(opened)) [[unlikely]]
      return close_scope_slow(opened);
    if (now_.top > opened.top) detail::poison(reinterpret_cast<void*>(opened.top + 1), now_.top - opened.top);
    meter_.falling(now_.top);
    now_.return_to(opened.top);
  }

 private:
  // At the front of each slab's memory.
  struct alignas(64) slab {
    detail::region away;        // while another slab is current
    std::uint64_t entered = 0;  // the serial when it last became current: grows from slab to slab in use
    slab* below = nullptr;
    slab* above = nullptr;
    std::size_t upstream_bytes = 0;  // 0: not owned
    std::size_t payload() const noexcept { return away.last - away.base; }
    std::uintptr_t first() const noexcept { return away.base + 1; }
    bool contains(const void* byte) const noexcept { return detail::address(byte) - first() < payload(); }
    bool has_room(std::size_t bytes, std::size_t alignment) const noexcept;
    // The bytes that its alignment leaves between it and the first block: nobody's.
    void* fence() noexcept { return &upstream_bytes + 1; }
    std::size_t fence_bytes() const noexcept {
      return detail::address(this + 1) - detail::address(&upstream_bytes + 1);
    }
  };
  // Behind each block that has memory of its own, so that the block itself can be aligned.
  struct oversize {
    oversize* older;
    std::byte* memory;
    std::size_t bytes;  // from memory to here
    std::size_t alignment;
    std::size_t used;      // 0: kept for later
    std::uint64_t serial;  // when it was allocated
  };

  [[gnu::cold]] void* allocate_slow(std::size_t bytes, std::size_t alignment);
  [[gnu::cold]] void* try_allocate_slow(std::size_t bytes, std::size_t alignment);
  void* allocate_oversize(std::size_t bytes, std::size_t alignment);
  inline bool give_newest(void* block, std::size_t bytes) noexcept {
    if (!now_.is_newest(block, bytes)) return false;
    meter_.falling(now_.top);
    now_.top = detail::address(block) - 1;
    if (now_.holes != nullptr) [[unlikely]]
      now_.reclaim(order_.floor(current_, current_));
    return true;
  }
  [[gnu::cold]] void deallocate_slow(void* block, std::size_t bytes) noexcept;
  [[gnu::cold]] void close_scope_slow(scope_mark& opened) noexcept;
  void note_freed(const void* block, std::size_t bytes) noexcept;

  void go_back(slab* to, std::uintptr_t top, std::uint64_t serial) noexcept;
  bool holds(const checkpoint_type& cp) const noexcept;
  void enter(slab* next) noexcept;
  void step_back() noexcept;
  slab* kept_slab(std::size_t bytes, std::size_t alignment) noexcept;
  slab* next_slab(std::size_t bytes, std::size_t alignment, std::size_t payload);
  std::byte* take_upstream(std::size_t bytes, std::size_t alignment);
  slab* new_slab(std::size_t payload);
  slab* new_slab_of_budget(std::size_t payload);
  void insert_above_current(slab* s) noexcept;
  void unlink(slab* s) noexcept;
  void give_upstream(slab* s) noexcept;
  void give_upstream(oversize** at) noexcept;
  void give_all_upstream() noexcept;
  void gather() noexcept;
  oversize* kept_for(std::size_t bytes, std::size_t alignment) noexcept;
  void keep(oversize* block) noexcept;
  void bound_kept() noexcept;
  void forget_oversize_after(std::uint64_t serial) noexcept;
  oversize** find_oversize(const void* block) noexcept;
  slab* find_slab(const void* block) noexcept;
  detail::region& region_of(slab* s) noexcept { return s == current_ ? now_ : s->away; }
  bool is_unmarked() const noexcept;
  void leave_empty_slabs() noexcept;
  std::size_t unused_bytes() const noexcept;
  [[noreturn]] void throw_exhausted(std::size_t requested) const;
  std::size_t next_payload() const noexcept;
  void leave_reshape() noexcept;
  void settle() noexcept { meter_.settle(now_, oversize_used_); }

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

  detail::region now_;  // the current slab's
  std::size_t smallest_oversize_ = SIZE_MAX;
  detail::peak_meter meter_;
  detail::checkpoint_order order_;
  slab* current_ = nullptr;  // null: the next request begins with the first slab
  slab* first_ = nullptr;
  std::uint64_t last_checkpoint_ = 0;
  std::uintptr_t grows_after_ = 0;  // blocks up to here are older than a checkpoint
  std::uint64_t reshaped_ = 0;      // the serial at which reshape() began; 0: not reshaped
  oversize* oversize_ = nullptr;
  oversize* kept_ = nullptr;
  std::size_t oversize_used_ = 0;
  std::size_t oversize_padding_ = 0;       // what they would take more in a slab ...
  std::size_t oversize_padding_peak_ = 0;  // ... at most since the last reset
  std::size_t oversize_live_ = 0;          // bytes of memory behind the blocks in use ...
  std::size_t oversize_peak_ = 0;          // ... at most so far ...
  std::size_t oversize_kept_ = 0;          // ... and kept: see bound_kept
  std::size_t capacity_ = 0;
  std::size_t grown_to_ = 0;  // the payload of the newest slab that growth made
  std::size_t wanted_ = 0;    // the payload of the one slab to run in after reset()
  slab_options options_;
  std::pmr::memory_resource* upstream_;
  slab initial_;
};

class slab_resource::checkpoint_type {
  friend slab_resource;
  const slab_resource* owner;
  slab* at;
  std::uintptr_t top;
  std::uint64_t serial;
};

static_assert(checkpointable<slab_resource>);

}  // namespace buffers
