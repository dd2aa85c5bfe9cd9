// The blocks that the pools have: runs of pages, cut into blocks of one size each. A pool keeps the blocks that it
// hands out next in magazines of its own, and takes them from and gives them to this store by the batch.
//
//     pool             magazines: the free blocks that are next
//                          │ batches of blocks
//     block_store      which blocks of a run are free
//                          │ runs of pages
//     page_heap        which pages of a chunk are free
//                          │ chunks
//     upstream
//
// Which blocks of a run are free is one bit each in its table: no free block is touched. So a batch comes out in the
// order of the addresses, whatever order the blocks went in, and what is built from it lies close together.
//
// For one thread at a time.
module;
#include <cstddef>
#include <cstdint>
export module buffers.resources:block_store;
import buffers.core;
import buffers.std;
import :page_heap;
import :size_classes;

export namespace buffers::detail {

/// Blocks one after the other that have not been in use.
struct block_range {
  std::byte* first = nullptr;
  std::byte* end = nullptr;
};

/// The blocks in runs of pages.
class block_store : private page_heap::user {
 public:
  /// What the owner of the store holds back in magazines.
  struct holder {
    virtual std::size_t held_whole_bytes() const noexcept = 0;
    /// Calls count_held(block, sign * count) for all blocks that it holds.
    virtual void count_held(int sign) const noexcept = 0;
    /// Gives all blocks with a run of their own to the store, and with `shared` all others too.
    virtual void give_held(bool shared) noexcept = 0;
    /// Takes a block with a run of its own over.
    virtual void hold(void* block, std::size_t size_class) noexcept = 0;

   protected:
    ~holder() = default;
  };

  block_store(const store_options& options, std::pmr::memory_resource* upstream, holder& owner)
      : heap_(options, upstream, *this), owner_(owner) {}
  block_store(const block_store&) = delete;
  block_store& operator=(const block_store&) = delete;

  /// Writes up to `most` blocks that have been in use before, in falling order of their addresses, and returns how
  /// many: none when there are none. For a shared class.
  [[nodiscard]] std::size_t take(std::size_t size_class, void** to, std::size_t most) noexcept;
  /// Blocks that have not been in use before, at least one. Throws what upstream throws.
  [[nodiscard]] block_range carve(std::size_t size_class);
  /// Takes back what is left of them.
  void uncarve(std::size_t size_class, block_range blocks) noexcept;
  /// The same for a block above largest_listed. Throws what upstream throws.
  [[nodiscard]] void* take_large(std::size_t bytes);
  /// ... from memory that was in use before; null when there is none.
  [[nodiscard]] void* take_used_large(std::size_t bytes) noexcept;
  inline void count_large_miss(std::size_t bytes) noexcept { ++large_[whole_bucket(bytes)].misses; }
  void give_large(void* block) noexcept;
  /// A block of this class, of those with a run of their own, from memory that was in use before; null where none is.
  [[nodiscard]] void* take_used_whole(std::size_t size_class) noexcept;
  /// Takes back blocks of this class.
  void give(std::size_t size_class, void* const* blocks, std::size_t count) noexcept;

  /// How many blocks of the class take() could give ...
  [[nodiscard]] inline std::size_t available(std::size_t size_class) const noexcept { return available_[size_class]; }
  /// ... and how many there are besides: in use, or held by the holder.
  [[nodiscard]] inline std::size_t in_use(std::size_t size_class) const noexcept { return in_use_[size_class]; }
  /// The bytes of all blocks that are not here.
  [[nodiscard]] std::size_t bytes_in_use() const noexcept;
  /// What happened to blocks without a class of up to `bytes` bytes, a power of two, and more than half of it.
  struct large_counts {
    std::size_t live, hits, misses;
  };
  [[nodiscard]] const large_counts& large(std::size_t bytes) const noexcept { return large_[whole_bucket(bytes)]; }
  /// Of such sizes, the blocks with a run of their own that are free, with a class or without.
  [[nodiscard]] const page_heap::freed_blocks& freed_whole(std::size_t bytes) const noexcept {
    return heap_.freed_whole(bytes);
  }

  /// Marks every block as free, whoever has it; those with a run of their own go to the holder.
  void take_all_back() noexcept;

  /// The bytes of the block that begins there; 0 when none does.
  [[nodiscard]] std::size_t block_bytes(const void* block) const noexcept;
  /// Hardened build: notes that a block is handed out with that size ...
  void note_taken(const void* block, std::size_t bytes) noexcept;
  enum class giving : std::uint8_t { right, wrong_size, not_in_use };
  /// ... and that it is given back with that size, or with any for 0, unless that is wrong. Of sizes that one block can
  /// have, those that are a multiple of 251 bytes apart are the same to it.
  [[nodiscard]] giving note_given(const void* block, std::size_t bytes) noexcept;

  /// Gives chunks without a block in use upstream until at most keep_bytes are in such, and other idle pages to the
  /// operating system.
  void trim(std::size_t keep_bytes) noexcept;
  void release() noexcept;
  /// The bytes that are from upstream.
  [[nodiscard]] std::size_t capacity() const noexcept { return heap_.capacity(); }
  [[nodiscard]] bool owns(const void* byte) const noexcept { return heap_.owns(byte); }
  /// Counts blocks of a run that the holder has as if they were here, or takes that back.
  inline void count_held(const void* block, int count) const noexcept { heap_.run_of(block)->busy -= count; }
  /// The bytes of the chunks in which all blocks are here or held.
  [[nodiscard]] std::size_t releasable() const noexcept { return heap_.releasable(); }
  [[nodiscard]] std::pmr::memory_resource* upstream() const noexcept { return heap_.upstream(); }

 private:
  void mark_scattered(void* const* blocks, void* const* end, std::size_t size_class) noexcept;
  void* use_large(run* r) noexcept;
  void count_free(run& in, std::size_t blocks) noexcept;
  void count_first_or_last(run& in, std::size_t blocks) noexcept;
  void count_empty(const run& r, int runs) noexcept;
  void list(run* r) noexcept;
  std::size_t free_empty(std::size_t size_class, std::size_t bytes) noexcept;
  void free_all_empty() noexcept;
#if BUFFERS_HARDENED
  [[nodiscard]] std::uint8_t& size_mark(const void* block) const noexcept;
#endif

  std::size_t idle_bytes() const noexcept override;
  std::size_t held_whole_bytes() const noexcept override { return owner_.held_whole_bytes(); }
  void count_all_held(int sign) const noexcept override { owner_.count_held(sign); }
  void free_held_whole() noexcept override { owner_.give_held(false); }
  std::size_t free_some_empty(std::size_t bytes) noexcept override;
  void free_all_idle() noexcept override;

  page_heap heap_;
  // Runs with free blocks: those that are next, in the order of their addresses, and those that have come since.
  struct partial {
    run* sorted;
    run* others;
  } partial_[shared_classes] = {};
  run* carving_[shared_classes] = {};  // the run that fresh blocks come from
  std::size_t available_[classes] = {};
  std::size_t in_use_[classes] = {};
  std::size_t empty_pages_[shared_classes] = {};  // of the runs without a block in use
  large_counts large_[whole_sizes] = {};
  std::size_t large_bytes_ = 0;  // of those in use
  holder& owner_;
};

}  // namespace buffers::detail
