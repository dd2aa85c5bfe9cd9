// What the pools keep their memory in: chunks from upstream, cut into runs of pages, cut into blocks. A pool keeps the
// blocks that it hands out next in magazines of its own, and takes them from and gives them to this store by the batch.
//
//     chunk   ┌────────┬───────────────────┬───────┬───────────────┬─ ─ ─ ─ ─ ─ ─ ─ ─ ┐
//             │ tables │ run of 256 blocks │ free  │ one block     │ not touched yet
//             └────────┴───────────────────┴───────┴───────────────┴─ ─ ─ ─ ─ ─ ─ ─ ─ ┘
//                                                                   ▲ frontier
//
// All that is known of a run lies in the tables, none of it in front of or between the blocks; which blocks of a run
// are free, in one bit each: no free block is touched. So a batch comes out in the order of the addresses, whatever
// order the blocks went in, and what is built from it lies close together. Neighbouring free runs are one. Memory
// beyond the frontier has never been touched, and costs nothing until it is: it is used last, and then as many pages
// that lie idle go back to the operating system. Blocks above 32 KiB have chunks of their own, so that small ones do
// not break up their memory as long as they have other: what lies idle in the chunks of one kind serves the other kind
// before memory is used that never was.
module;
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>
export module buffers.resources:block_store;
import buffers.core;
import buffers.std;
import :arena;
import :size_classes;

export namespace buffers::detail {

struct chunk;

/// The sizes of blocks with a run of their own that are counted: the powers of two above largest_shared_block, up to
/// largest_block.
inline constexpr std::size_t whole_sizes = 13;

/// Pages in a row that are used for one thing. Lies in its chunk's table, at the place of its first page.
struct alignas(64) run {
  // Free; shared by blocks of a class, all of them in use, or not all; one block.
  enum state : std::uint8_t { unused, full, partial, whole };

  std::uint32_t index;  // of its first page in the chunk
  std::uint32_t pages;
  state is;
  std::uint8_t size_class;
  std::uint16_t carved;  // blocks that have been handed out at least once: the first ones; of a whole run, 1
  // Of a partial run, how many of the carved blocks are in use; the bits of the others are set. Of a full or whole run
  // 1, so that count_free() comes to 0 with the first block that is given back. Between count_held(1) and
  // count_held(-1), less the blocks that the holder has.
  std::int32_t busy;
  run* next;
  run* previous;
  union {
    std::uint64_t bits[4];
    // Of a free run: all behind its first `resident` pages are with the operating system, and `holes` of these.
    struct {
      std::uint32_t resident, holes;
    } idle;
  };
#if BUFFERS_HARDENED
  std::uint8_t sizes[256];  // of each block in use, a mark of the size that it was asked for with; else 0
#endif

  [[nodiscard]] std::byte* memory() noexcept;
  [[nodiscard]] chunk* home() noexcept;
};

/// At the front of the memory that upstream gave, with its tables behind it.
struct alignas(64) chunk {
  std::size_t upstream_bytes;
  std::uint32_t pages;     // all of them, those of the tables included
  std::uint32_t tables;    // pages in front that are not to be used
  std::uint32_t frontier;  // pages from here on have never been used
  std::uint32_t used;      // pages in runs in use
  std::uint32_t kind;      // 1: for blocks above largest_mixed_block, before others
  // For each page of a run in use, and the first and the last of a free one, the index of the run's first page.
  std::uint32_t* first_of;
  // Blocks with a run of their own that are free, by size as in block_store::whole: no more pages than are not in use.
  // Where these are is not known, as neighbours become one run.
  struct free_blocks {
    std::uint32_t count, pages;
  } free_whole[whole_sizes];
  std::uint32_t free_whole_pages;  // of all sizes

  [[nodiscard]] inline std::byte* memory() noexcept { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] inline run* runs() noexcept { return reinterpret_cast<run*>(this + 1); }
};

/// Blocks one after the other that have not been in use.
struct block_range {
  std::byte* first = nullptr;
  std::byte* end = nullptr;
};

struct store_options {
  std::size_t first_chunk, largest_chunk, spare;
};

/// A number that one thread counts and others may look at.
class relaxed_counter {
 public:
  inline relaxed_counter& operator=(std::int64_t value) noexcept {
    __atomic_store_n(&value_, value, __ATOMIC_RELAXED);
    return *this;
  }
  inline operator std::int64_t() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }  // NOLINT
  inline relaxed_counter& operator+=(std::int64_t more) noexcept { return *this = *this + more; }
  inline relaxed_counter& operator++() noexcept { return *this += 1; }

 private:
  std::int64_t value_ = 0;
};

class block_store;

/// The free blocks that are next, of each class: a stack of their addresses, the newest on top. The blocks themselves
/// are not touched. A full stack gives its oldest blocks to the store, and an empty one takes some from there. That
/// costs as much as tens of allocations, so a stack is as deep as what happened since the last exchange asks for:
///
///   since then                              depth        why
///   blocks came and went in turn            the most     what was in use just now is the fastest
///   none taken, neighbours in a row         the most     a container ends (in a pool for one thread)
///   none taken, else                        half         a thread that frees what another one allocates keeps little
///   few taken, and they lie far apart       the least    what stays is used first, and each is on a page of its own
///   anything else                           as a rule
///
/// Where none were taken all blocks of a full stack go, else all but a quarter; half of what there is room for comes,
/// so that a program at the edge does not go back and forth. Where none were given, in a pool for one thread, a stack
/// of small blocks is filled. From the store they come in the order of their addresses, so that what is built next lies
/// close together. Counter is an integer; where other threads read it, one that they may read.
template <class Counter>
struct magazines {
  static constexpr bool one_thread = std::same_as<Counter, std::int64_t>;
  void** top[classes];           // the newest block; below the oldest one is a null; unused_ before any was here
  void** last[classes];          // where the newest one is when there is no more room
  Counter taken[classes] = {};   // how many blocks were taken, ever
  Counter misses[classes] = {};  // requests that had to be served otherwise, or were not
  block_range fresh[shared_classes] = {};

  // No page of places_ is touched before it is needed.
  magazines() noexcept { forget(); }
  magazines(const magazines&) = delete;
  magazines& operator=(const magazines&) = delete;

  /// A block, or null when there is none.
  [[nodiscard]] inline void* pop(std::size_t size_class) noexcept {
    void** const newest = top[size_class];
    void* const block = *newest;
    if (block == nullptr) [[unlikely]]
      return nullptr;
    top[size_class] = newest - 1;
    __builtin_prefetch(newest[-1], 1);  // the next one, whose first bytes are written as a rule
    ++taken[size_class];
    return block;
  }
  /// Takes a block; false when there is no room for it: make_room is next.
  [[nodiscard]] inline bool push(std::size_t size_class, void* block) noexcept {
    void** const newest = top[size_class];
    if (newest == last[size_class]) [[unlikely]]
      return false;
    top[size_class] = newest + 1;
    newest[1] = block;
    return true;
  }

  /// The oldest of the blocks.
  [[nodiscard]] inline void** oldest(std::size_t size_class) noexcept { return places_ + first_places[size_class] + 1; }
  /// How many there are.
  [[nodiscard]] inline std::size_t count(std::size_t size_class) const noexcept {
    return is_unused(size_class) ? 0 : static_cast<std::size_t>(top[size_class] - (places_ + first_places[size_class]));
  }

  /// Whether these or the store may have a block that was in use before.
  [[nodiscard]] inline bool has_used(std::size_t size_class, const block_store& store) const noexcept;
  /// Such a block, or null: for a shared class only when there is none.
  [[nodiscard]] void* pop_used(std::size_t size_class, block_store& store) noexcept;
  /// A block that was not. Throws what upstream throws.
  [[nodiscard]] inline void* pop_fresh(std::size_t size_class, block_store& store);
  /// Makes room in a full magazine: there is more of it now, or most blocks have gone to the store.
  void make_room(std::size_t size_class, block_store& store) noexcept;
  /// Whether it is one of the blocks that have not been in use.
  [[nodiscard]] bool is_fresh(const std::byte* block, std::size_t bytes) const noexcept;
  /// How many of them there are: the store counts them as in use.
  [[nodiscard]] std::size_t fresh_count(std::size_t size_class) const noexcept;
  /// Gives all blocks of classes from `from` on to the store.
  void give_all(std::size_t from, block_store& store) noexcept;
  /// The same for those that have not been in use.
  void give_fresh(block_store& store) noexcept;
  void forget() noexcept;

 private:
  [[nodiscard]] void* pop_carved(std::size_t size_class, block_store& store);
  [[nodiscard]] bool is_scattered(std::size_t size_class) noexcept;
  [[nodiscard]] bool is_row(std::size_t size_class) noexcept;
  // Whether none was taken since blocks last came from or went to the store.
  [[nodiscard]] inline bool none_taken(std::size_t size_class) const noexcept {
    return taken[size_class] == taken_before_[size_class];
  }
  std::size_t change_depth(std::size_t size_class, bool gives) noexcept;
  [[nodiscard]] inline bool is_unused(std::size_t size_class) const noexcept { return top[size_class] == &unused_; }
  void begin(std::size_t size_class) noexcept;
  void* unused_ = nullptr;  // the null of stacks that have not begun
  // Where a class's null is in places_; of `classes`, how many places there are.
  static constexpr auto first_places = [] {
    std::array<std::uint32_t, classes + 1> all{};
    for (std::size_t c = 0; c < classes; ++c)
      all[c + 1] = all[c] + static_cast<std::uint32_t>(greatest_depth_of(c) + 1);
    return all;
  }();
  // When blocks last came from or went to the store: how many had been taken from the magazine, and which it was.
  std::int64_t taken_before_[classes] = {};
  bool gave_[classes] = {};
  void* places_[first_places[classes]];
};

/// Chunks, runs and the blocks in them.
class block_store {
 public:
  /// What the owner of the store holds back in magazines: asked for before memory is used that never was before.
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

  block_store(const store_options& options, std::pmr::memory_resource* upstream, holder& owner);
  block_store(const block_store&) = delete;
  block_store& operator=(const block_store&) = delete;
  ~block_store();

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
  inline void count_large_miss(std::size_t bytes) noexcept { ++whole_[whole_bucket(bytes)].misses; }
  void give_large(void* block) noexcept;
  /// A block of this class, of those with a run of their own, from memory that was in use before; null where none is.
  [[nodiscard]] void* take_used_whole(std::size_t size_class) noexcept;
  /// What happened to those of up to `bytes` bytes, a power of two, and more than half of it. Of those that have a
  /// class only how many are free: the holder knows the rest.
  struct whole_counts {
    std::size_t live, free, free_bytes, hits, misses;
  };
  [[nodiscard]] const whole_counts& whole(std::size_t bytes) const noexcept { return whole_[whole_bucket(bytes)]; }
  /// Takes back blocks of this class.
  void give(std::size_t size_class, void* const* blocks, std::size_t count) noexcept;
  /// How many blocks of the class take() could give ...
  [[nodiscard]] inline std::size_t available(std::size_t size_class) const noexcept { return available_[size_class]; }
  /// ... and how many there are besides: in use, or held by the holder.
  [[nodiscard]] inline std::size_t in_use(std::size_t size_class) const noexcept { return in_use_[size_class]; }
  /// The bytes of all blocks that are not here.
  [[nodiscard]] std::size_t bytes_in_use() const noexcept;

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
  [[nodiscard]] std::size_t capacity() const noexcept;
  [[nodiscard]] bool owns(const void* byte) const noexcept { return find(byte) != nullptr; }
  /// Counts blocks of a run that the holder has as if they were here, or takes that back.
  inline void count_held(const void* block, int count) const noexcept { run_of(block)->busy -= count; }
  /// The bytes of the chunks in which all blocks are here or held.
  [[nodiscard]] std::size_t releasable() const noexcept;
  [[nodiscard]] std::pmr::memory_resource* upstream() const noexcept { return upstream_; }

 private:
  static constexpr std::size_t bins = 80;
  static inline std::size_t whole_bucket(std::size_t bytes) noexcept {
    return static_cast<std::size_t>(std::countl_zero(largest_shared_block) - std::countl_zero(bytes - 1));
  }
  static inline std::uint32_t kind_for(std::size_t bytes) noexcept { return bytes > largest_mixed_block ? 1 : 0; }

  // The chunk that it is in, or null.
  [[nodiscard]] chunk* find(const void* byte) const noexcept;
  // The same for a block that is in use.
  [[nodiscard]] inline chunk* home_of(const void* block) const noexcept {
    const std::uintptr_t place = place_of(block);
    const std::size_t at = place % found_room;
    if (found_.all_of_high[at] == place) [[likely]]
      return found_.high[at];
    if (found_.place[at] != place) [[unlikely]]
      return look_up(block);
    return address(block) < address(found_.high[at]) ? found_.low[at] : found_.high[at];
  }
  [[gnu::cold]] chunk* look_up(const void* block) const noexcept;
  [[nodiscard]] run* run_of(const void* block) const noexcept;
  struct place {
    run* in;
    std::size_t number;
  };
  [[nodiscard]] place place_in_run(const void* block, std::uint32_t reciprocal) const noexcept;
  void mark_scattered(void* const* blocks, void* const* end, std::size_t size_class) noexcept;
  [[nodiscard]] run* run_in_use_at(const void* byte) const noexcept;
#if BUFFERS_HARDENED
  [[nodiscard]] std::uint8_t& size_mark(const void* block) const noexcept;
#endif
  run* allocate_run(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest);
  run* allocate_whole_run(std::size_t bytes);
  run* allocate_shared_run(std::size_t size_class);
  [[nodiscard]] bool is_worth_gathering(std::size_t bytes) const noexcept;
  [[nodiscard]] bool has_room(std::uint32_t pages, std::uint32_t kind) const noexcept;
  struct row {
    run* first;
    chunk* beyond;
  };
  [[nodiscard]] row find_row(std::uint32_t pages) const noexcept;
  run* gather(std::uint32_t pages, bool beyond) noexcept;
  run* take_few(std::uint32_t pages, std::uint32_t kind) noexcept;
  bool give_all_upstream(std::uint32_t pages, std::size_t left) noexcept;
  void occupy(run* r) noexcept;
  run* take_used_run(std::size_t bytes) noexcept;
  void* use_whole(run* r) noexcept;
  void free_whole_run(run* r) noexcept;
  void count_free_whole(chunk& home, std::size_t bucket, int blocks, std::int64_t pages) noexcept;
  void forget_one_whole(chunk& home, std::size_t bucket, std::uint32_t pages) noexcept;
  void forget_used_whole(chunk& home, std::uint32_t pages) noexcept;
  run* take_from_bins(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* borrow(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* extend(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* cut(run* from, std::uint32_t pages) noexcept;
  run* in_new_chunk(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest, std::size_t& left);
  chunk* add_chunk(std::size_t wanted, std::size_t needed, std::size_t& left);
  void reserve_index();
  void give_upstream(std::size_t index) noexcept;
  template <class MayBegin, class Enough>
  void collect(std::size_t bytes, MayBegin may_begin, Enough is_enough) noexcept;
  run* reclaim(std::uint32_t pages, std::uint32_t kind) noexcept;
  std::size_t decommit(std::uint32_t kind, std::size_t pages) noexcept;
  [[nodiscard]] std::size_t excess_pages() const noexcept;
  void pay_for(std::size_t pages) noexcept;
  void keep_spare_pages() noexcept;
  void free_run(run* freed) noexcept;
  void insert(run* r) noexcept;
  void remove(run* r) noexcept;
  void count_free(run& in, std::size_t blocks) noexcept;
  void count_first_or_last(run& in, std::size_t blocks) noexcept;
  void list(run* r) noexcept;
  void unlink(run*& list, run* r) noexcept;
  void count_empty(const run& r, int runs) noexcept;
  void free_empty_runs() noexcept;
  std::size_t free_empty_runs(std::size_t size_class, std::size_t bytes) noexcept;
  void give_spare(std::size_t keep_bytes) noexcept;
  [[nodiscard]] std::size_t with_index(std::size_t chunk_bytes) const noexcept;
  [[nodiscard]] std::size_t spare_bytes() const noexcept;

  // Runs with free blocks: those that are next, in the order of their addresses, and those that have come since.
  struct partial {
    run* sorted;
    run* others;
  } partial_[shared_classes] = {};
  run* carving_[shared_classes] = {};  // the run that fresh blocks come from
  std::size_t available_[classes] = {};
  std::size_t in_use_[classes] = {};
  // Of the shared runs without a block in use.
  std::size_t empty_pages_[shared_classes] = {};
  std::size_t all_empty_pages_ = 0;
  // The free runs of chunks of a kind, by length.
  struct free_runs {
    run* bins[block_store::bins];
    std::uint64_t filled[2];  // bins that are not empty
  } free_[2] = {};
  whole_counts whole_[whole_sizes] = {};
  std::size_t large_bytes_ = 0;     // of large blocks in use
  std::size_t idle_pages_[2] = {};  // in free_, resident
  std::size_t used_pages_ = 0;      // in runs in use
  std::size_t peak_pages_ = 0;      // the most in runs with a block in use, ever
  std::int64_t credit_ = 0;         // see reclaim
  std::size_t freed_runs_ = 0;      // since release()
  std::size_t unpaid_pages_ = 0;    // see pay_for
  std::size_t touched_pages_ = 0;   // in all chunks, up to their frontiers
  // Where blocks were found last. Chunks have 64 KiB or more, so at most two share one aligned place of 64 KiB. Only
  // where upstream had no more than smaller ones may three, and such a place is looked up each time.
  static constexpr std::size_t found_room = 128;
  [[nodiscard]] static inline std::uintptr_t place_of(const void* byte) noexcept { return address(byte) >> 16; }
  struct neighbours {
    std::uintptr_t all_of_high[found_room];  // the place, where no block of `low` is there, else none
    chunk* high[found_room];
    std::uintptr_t place[found_room];
    chunk* low[found_room];
  };
  mutable neighbours found_ = {};
  chunk** chunks_;  // by address
  std::size_t chunk_count_ = 0, chunk_room_;
  chunk* few_chunks_[64];
  std::size_t capacity_ = 0;
  store_options options_;
  std::pmr::memory_resource* upstream_;
  holder& owner_;
};

template <class Counter>
inline bool magazines<Counter>::has_used(std::size_t size_class, const block_store& store) const noexcept {
  return *top[size_class] != nullptr || store.available(size_class) != 0 || size_class >= shared_classes;
}

template <class Counter>
inline void* magazines<Counter>::pop_fresh(std::size_t size_class, block_store& store) {
  if (size_class < shared_classes)
    if (block_range& from = fresh[size_class]; from.first != from.end) [[likely]] {
      ++misses[size_class];
      return std::exchange(from.first, from.first + bytes_of(size_class));
    }
  return pop_carved(size_class, store);
}

/// Blocks that are upstream's own: too large for a run, or aligned to more than a page.
class oversize_list {
 public:
  /// Throws what upstream throws.
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment, std::pmr::memory_resource& upstream);
  /// Of the size that it was allocated with.
  void deallocate(void* block, std::size_t bytes, std::pmr::memory_resource& upstream) noexcept;
  void deallocate_all(std::pmr::memory_resource& upstream) noexcept;
  /// The bytes of the block that begins there; 0 when none does. O(count), as the next.
  [[nodiscard]] std::size_t block_bytes(const void* block) const noexcept;
  [[nodiscard]] bool owns(const void* byte) const noexcept;
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// From upstream.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  // Behind its block.
  struct node {
    node* next;
    node* previous;
    void* block;
    std::size_t bytes;
    std::size_t alignment;
  };
  static std::size_t node_offset(std::size_t bytes);
  void give_upstream(node* last, std::pmr::memory_resource& upstream) noexcept;

  node* first_ = nullptr;
  std::size_t count_ = 0, bytes_ = 0;
};

}  // namespace buffers::detail
