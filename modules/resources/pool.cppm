// pool_resource keeps the blocks that are given back, by size, and hands them out again: for memory that is freed in
// any order.
//
//     allocate, deallocate        ┌───┬───┬───┐
//            ▲ ▼             8 B  │ ● │ ● │ ● │     a stack of free blocks for each size: the newest first
//                           16 B  ├───┼───┼───┘
//                            …    │ ● │ ● │        most of a full one goes to, and half of one comes from
//                          1 MiB  └───┴───┘                             ▲ ▼
//     upstream  →  chunks  →  runs of pages  →  blocks      a bit for each block, nothing in front of it
//
//   operation                cost   what it does
//   allocate, deallocate     O(1)   one block off, or onto, the stack of its size
//   get, try_get, put        O(1)   the same with spans that tell the block's full size, in powers of two
//   clear                    O(b)   takes all blocks back, b of them, and keeps the memory
//   trim, release            O(b)   give memory upstream
//   stats, used, peak        O(1)   what is in use, and how often the blocks were enough
//
// Threads: one at a time; concurrent_pool_resource is for many.
//
//     buffers::pool_resource pool;
//     std::pmr::map<std::pmr::string, int> counts{&pool};
//     for (const char* word : {"to", "be", "or", "not", "to", "be"}) ++counts[std::pmr::string{word, &pool}];
//     assert(counts.size() == 4);
module;
#include <cstddef>
#include <cstdint>
export module buffers.resources:pool;
import buffers.core;
import buffers.std;
import :block_store;
import :magazines;
import :oversize;
import :page_heap;
import :size_classes;

export namespace buffers {

/// How a pool gets and keeps memory. Sizes are in bytes.
struct pool_options {
  /// The first chunk from upstream: 64 KiB to 1 TiB, less where upstream has less left. Each further one is as large as
  /// all before it together.
  std::size_t first_chunk = 64 * 1024;
  /// ... but no larger than this, unless one block needs it: first_chunk to 1 TiB.
  std::size_t largest_chunk = std::size_t{64} << 20;
  /// How many idle bytes it keeps. What is above this goes back: chunks without a block in use to upstream, and free
  /// memory for blocks above 32 KiB to the operating system (by madvise: the addresses stay). Memory with free blocks
  /// of up to 16 KiB in it, or with larger ones that are next to be handed out, up to 8 MiB of each size, is not idle
  /// until trim().
  /// While a pool grows into memory that it never touched, it also returns as many idle pages to the operating system,
  /// as long as it holds more than the most that was in use at once and a tenth of that, or 2 MiB: programs whose
  /// phases need different sizes do not hold the memory of all of them. SIZE_MAX: nothing is returned until trim().
  std::size_t spare = std::size_t{256} << 20;
};

/// What happened to blocks of certain sizes.
struct pool_counts {
  std::size_t live = 0;        ///< blocks in use
  std::size_t free = 0;        ///< blocks that were in use; above 16 KiB, those whose memory nobody else has got
  std::size_t free_bytes = 0;  ///< their sizes
  std::size_t hits = 0;        ///< requests served by such a block
  std::size_t misses = 0;      ///< requests that were not
};

/// A bucket: the blocks of more than half its size and up to its size; in the first one, all smaller ones as well.
struct pool_bucket : pool_counts {
  std::size_t block_size = 0;  ///< bytes: 64, 128, ... 128 Mi
};

/// All buckets, and all together.
struct pool_stats : pool_counts {
  std::array<pool_bucket, 22> buckets;
  std::size_t oversize = 0;  ///< blocks in use that are upstream's own: above 128 MiB or aligned to more than 4096
};

/// A pool of blocks. Nothing is allocated before the first request. The stacks of free blocks are in the object itself,
/// which is about 96 KiB, of which 16 are touched at once and the rest as far as the stacks are filled. Blocks are of
/// 8, 16, 24, ... 64 bytes, then of four sizes to each doubling, and above 1 MiB of whole pages; a request gets the
/// least that is a multiple of its alignment. So nodes of 24 bytes take 24 when they are asked for with the alignment
/// that they need, as containers do, and 32 with that of std::max_align_t.
class pool_resource final : public std::pmr::memory_resource, private detail::block_store::holder {
 public:
  /// Chunks come from upstream, which must outlive this.
  /// Throws: invalid_argument for an option out of range, naming the field.
  explicit pool_resource(const pool_options& options = {},
                         gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource());
  /// With the default options.
  inline explicit pool_resource(gsl::not_null<std::pmr::memory_resource*> upstream) : pool_resource({}, upstream) {}
  pool_resource(const pool_resource&) = delete;
  pool_resource& operator=(const pool_resource&) = delete;
  /// Gives all memory upstream, blocks in use included.
  ~pool_resource() override;

  /// Uninitialised memory for `bytes` bytes, aligned to `alignment`.
  /// Throws: what upstream throws; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if ((alignment & (alignment - 1)) == 0 && detail::has_class(bytes, alignment)) [[likely]] {
      void* const block = magazines_.pop(detail::class_of(bytes, alignment));
      if (block == nullptr) [[unlikely]]
        return allocate_more(bytes, alignment);
      detail::unpoison(block, bytes);
      if constexpr (detail::hardened) note_taken(block, bytes);
      if ((below_peak_ -= static_cast<std::ptrdiff_t>(bytes)) < 0) [[unlikely]]
        return raise_peak(block);
      return block;
    }
    return allocate_slow(bytes, alignment);
  }

  /// Gives a block back, with the size and alignment that it was asked for with. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if constexpr (detail::hardened) note_given(block, bytes, alignment);
    if (detail::has_class(bytes, alignment) && block != nullptr) [[likely]] {
      below_peak_ += static_cast<std::ptrdiff_t>(bytes);
      detail::poison_unless_mixed(block, bytes);
      if (!magazines_.push(detail::class_of(bytes, alignment), block)) [[unlikely]]
        push_slow(block, bytes, alignment);
    } else {
      deallocate_slow(block, bytes, alignment);
    }
  }

  /// A block of at least `bytes` bytes, whole: the least power of two from 64 on that is no less than `bytes` and
  /// `alignment`. One that was put or deallocated before; an empty span when there is none, and for no bytes: the free
  /// blocks of a bucket in stats() may also be of the finer sizes that allocate() uses, and are not given here. Throws
  /// invalid_argument when alignment is no power of two.
  [[nodiscard]] std::span<std::byte> try_get(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t));
  /// The same, with fresh memory where there is none. Above 128 MiB, and aligned to more than 4096, exactly the bytes
  /// asked for, from upstream; for no bytes, an empty span that is not null. Throws what upstream throws.
  [[nodiscard]] std::span<std::byte> get(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t));
  /// Gives back what get() gave. Empty spans are ignored.
  /// Throws invalid_argument, and does nothing, for a span that does not begin where a block of this pool begins, or is
  /// longer than that; in the hardened build also for one that is shorter, and for a block that is not in use.
  void put(std::span<std::byte> block);

  /// Takes all blocks back, and keeps the memory, but for blocks above 128 MiB and what is above the option `spare`.
  void clear() noexcept;
  /// The same, by the name that all resources have for it.
  void reset() noexcept { clear(); }
  /// Gives all memory upstream, blocks in use included.
  void release() noexcept;
  /// Gives chunks in which no block is in use upstream until at most keep_bytes are left of them, or the option `spare`
  /// where that is less. Returns the bytes given. Then idle pages of other chunks go to the operating system, by
  /// madvise, until at most keep_bytes of memory lie idle.
  std::size_t trim(std::size_t keep_bytes) noexcept;
  /// The bytes that trim(0) would give.
  [[nodiscard]] std::size_t releasable() const noexcept { return store_.releasable(); }

  /// The bytes that were asked for and not given back.
  [[nodiscard]] inline std::size_t used() const noexcept { return peak_ - static_cast<std::size_t>(below_peak_); }
  /// The greatest used() since construction or reset_peak().
  [[nodiscard]] inline std::size_t peak() const noexcept { return peak_; }
  /// peak() is used() from now on.
  void reset_peak() noexcept;
  /// The bytes that it holds from upstream.
  [[nodiscard]] std::size_t capacity() const noexcept { return store_.capacity() + oversize_.bytes(); }
  /// Whether the byte lies in memory that this holds. O(log chunks), and O(blocks) above 128 MiB.
  [[nodiscard]] bool owns(const void* byte) const noexcept;
  /// Counts since construction; live and free blocks as of now. One pass over the sizes.
  [[nodiscard]] pool_stats stats() const noexcept;
  /// Where the memory is from.
  [[nodiscard]] std::pmr::memory_resource* upstream_resource() const noexcept { return store_.upstream(); }

 private:
  // Where the magazine is empty: often, while a program grows.
  [[gnu::noinline]] void* allocate_more(std::size_t bytes, std::size_t alignment);
  [[gnu::cold]] void* allocate_slow(std::size_t bytes, std::size_t alignment);
  [[gnu::cold]] void deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept;
  [[gnu::cold]] void push_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept;
  // While a program grows, with each block. Returns it, so that the caller has nothing left to do.
  [[gnu::noinline]] void* raise_peak(void* block) noexcept;
  void count_out(std::size_t bytes) noexcept;
  void note_taken(void* block, std::size_t bytes) noexcept;
  void note_given(void* block, std::size_t bytes, std::size_t alignment) noexcept;

  void* take(std::size_t size_class);
  void handed_out(void* block, std::size_t bytes) noexcept;

  std::size_t held_whole_bytes() const noexcept override;
  void count_held(int sign) const noexcept override;
  void give_held(bool shared) noexcept override;
  void hold(void* block, std::size_t size_class) noexcept override;

  [[gnu::aligned(64)]] void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return allocate(bytes, alignment);
  }
  [[gnu::aligned(64)]] void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::ptrdiff_t below_peak_ = 0;  // peak() - used()
  std::size_t peak_ = 0;
  detail::oversize_list oversize_;
  detail::block_store store_;
  detail::magazines<std::int64_t> magazines_;
};

namespace detail {
/// Throws invalid_argument for an option out of range.
[[nodiscard]] store_options checked(const pool_options& options);
/// The size of the blocks of the bucket that a request falls into.
[[nodiscard]] std::size_t bucket_bytes(std::size_t bytes, std::size_t alignment) noexcept;
/// Adds these to the counts of a bucket and of all.
void add_counts(pool_stats& stats, std::size_t block_bytes, const pool_counts& more) noexcept;
/// The blocks in a store, and as live all that are not.
[[nodiscard]] pool_stats stats_of(const block_store& store) noexcept;
/// Hardened build: ends the program unless a block is in use that was allocated with this size and alignment, and notes
/// that it is given back.
void require_in_use(const void* block, std::size_t bytes, std::size_t alignment, block_store& store,
                    const oversize_list& oversize) noexcept;
}  // namespace detail

}  // namespace buffers
