// concurrent_pool_resource is a pool for many threads: a block may be freed by another thread than the one that
// allocated it, and what a thread holds comes back when it ends.
//
//     thread 1   ┌───┬───┬─ ─              ┌───┬───┬───┐   thread 2
//     allocates  │ ● │ ● │                 │ ● │ ● │ ● │   frees
//                └───┴───┴─ ─              └───┴───┴───┘
//        when empty ▲                         ▼ when full, most of it
//                 ┌─────────────────────────────┐
//                 │ central store, with a lock  │ ← chunks from upstream
//                 └─────────────────────────────┘
//
//   operation                cost   what it does
//   allocate, deallocate     O(1)   one block off, or onto, a stack of this thread; a lock when that is empty or full
//   trim, release            O(b)   give memory upstream, b blocks of it
//   used, stats              O(t)   over t threads
//
// Half a stack or more at a time is given and taken, and memory stays flat where one thread allocates what another one
// frees: for blocks of up to 16 KiB that were in use before there is a lock for every 4 to 192 of them. New ones come
// by 8 KiB, and larger blocks one by one. The lock is held for about a microsecond, so a thread waits for it awake at
// first. The memory of a block that is freed is not touched.
//
// Threads: any, at the same time; release() while no other thread uses it. Upstream is called by one thread at a time,
// with the lock held: neither it nor a retry_resource's callback in it may call this pool, which would wait for itself.
//
//     buffers::concurrent_pool_resource pool;
//     std::pmr::string message{"to be read and freed by another thread", &pool};
module;
#include <cstddef>
#include <cstdint>
export module buffers.threads:concurrent_pool;
import buffers.resources;
import buffers.std;
import :per_thread;

export namespace buffers {

/// A pool of blocks for all threads. Nothing is from upstream before the first request.
class concurrent_pool_resource final : public std::pmr::memory_resource, private detail::block_store::holder {
 public:
  /// Chunks come from upstream, which must outlive this.
  /// Throws: invalid_argument for an option out of range, naming the field.
  explicit concurrent_pool_resource(
      const pool_options& options = {},
      gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource());
  /// With the default options.
  inline explicit concurrent_pool_resource(gsl::not_null<std::pmr::memory_resource*> upstream)
      : concurrent_pool_resource({}, upstream) {}
  concurrent_pool_resource(const concurrent_pool_resource&) = delete;
  concurrent_pool_resource& operator=(const concurrent_pool_resource&) = delete;
  /// Gives all memory upstream, blocks in use included. Threads that used it may still live.
  ~concurrent_pool_resource() override;

  /// Uninitialised memory for `bytes` bytes, aligned to `alignment`.
  /// Throws: what upstream throws; invalid_argument when alignment is no power of two; bad_alloc when there is no
  /// memory for a thread's stacks.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if ((alignment & (alignment - 1)) == 0 && detail::has_class(bytes, alignment)) [[likely]]
      if (thread_lists* const mine = slots_.at_hand()) [[likely]]
        if (void* const block = mine->magazines.pop(detail::class_of(bytes, alignment))) [[likely]] {
          mine->used += static_cast<std::int64_t>(bytes);
          detail::unpoison(block, bytes);
          if constexpr (detail::hardened) note_taken(block, bytes);
          return block;
        }
    return allocate_slow(bytes, alignment);
  }

  /// Gives a block back, on any thread, with the size and alignment that it was asked for with. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if constexpr (detail::hardened) note_given(block, bytes, alignment);
    if (detail::has_class(bytes, alignment) && block != nullptr) [[likely]]
      if (thread_lists* const mine = slots_.at_hand()) [[likely]] {
        mine->used += -static_cast<std::int64_t>(bytes);
        detail::poison_unless_mixed(block, bytes);
        const std::size_t size_class = detail::class_of(bytes, alignment);
        if (!mine->magazines.push(size_class, block)) [[unlikely]]
          push_slow(*mine, size_class, block);
        return;
      }
    deallocate_slow(block, bytes, alignment);
  }

  /// Gives all memory upstream, blocks in use included.
  void release() noexcept;
  /// Gives chunks in which no block is in use, nor in another thread's stacks, upstream until at most keep_bytes are
  /// left of them. Returns the bytes given. Then idle pages of other chunks go to the operating system, by madvise,
  /// until at most keep_bytes of memory lie idle.
  std::size_t trim(std::size_t keep_bytes) noexcept;

  /// The bytes that were asked for and not given back; while other threads go on, of about now.
  [[nodiscard]] std::size_t used() const noexcept;
  /// The greatest number of bytes that were out of the central store, in use or in a thread's stacks, since
  /// construction or reset_peak(): used() was never more.
  [[nodiscard]] std::size_t peak() const noexcept;
  /// peak() is what is out of the central store now.
  void reset_peak() noexcept;
  /// The bytes that it holds from upstream.
  [[nodiscard]] std::size_t capacity() const noexcept;
  /// Whether the byte lies in memory that this holds. O(log chunks), and O(blocks) above 128 MiB.
  [[nodiscard]] bool owns(const void* byte) const noexcept;
  /// As of pool_resource. Blocks in a thread's stacks count as live.
  [[nodiscard]] pool_stats stats() const noexcept;
  /// Where the memory is from.
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept { return store_.upstream(); }

 private:
  // What a thread has.
  struct thread_lists {
    detail::magazines<detail::relaxed_counter> magazines;
    detail::relaxed_counter used;  // negative where it frees what others allocate
  };

  [[gnu::cold]] void* allocate_slow(std::size_t bytes, std::size_t alignment);
  [[gnu::cold]] void deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept;
  [[gnu::cold]] void push_slow(thread_lists& mine, std::size_t size_class, void* block) noexcept;
  void* take(thread_lists& mine, std::size_t size_class);
  void note_taken(void* block, std::size_t bytes) noexcept;
  void note_given(void* block, std::size_t bytes, std::size_t alignment) noexcept;
  void count_out(std::size_t bytes) noexcept;
  void give_lists(thread_lists& its) noexcept;
  static void thread_ended(concurrent_pool_resource& pool, thread_lists& its) noexcept;

  // The lists are other threads': they are not asked for.
  std::size_t held_whole_bytes() const noexcept override { return 0; }
  void count_held(int) const noexcept override {}
  void give_held(bool) noexcept override {}
  void hold(void*, std::size_t) noexcept override {}

  [[gnu::aligned(64)]] void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return allocate(bytes, alignment);
  }
  [[gnu::aligned(64)]] void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  mutable std::mutex mutex_;  // of all that follows but the slots
  detail::block_store store_;
  detail::oversize_list oversize_;
  std::size_t out_ = 0, peak_ = 0;          // bytes of blocks that are not in the store
  detail::relaxed_counter used_elsewhere_;  // of threads without lists
  detail::per_thread<thread_lists> slots_;
};

}  // namespace buffers
