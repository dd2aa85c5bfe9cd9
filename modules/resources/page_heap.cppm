// The pages that the pools' blocks lie in: chunks from upstream, cut into runs of pages, each for one thing.
//
//     chunk   ┌────────┬───────────────────┬───────┬───────────────┬─ ─ ─ ─ ─ ─ ─ ─ ─ ┐
//             │ tables │ run of 256 blocks │ free  │ one block     │ not touched yet
//             └────────┴───────────────────┴───────┴───────────────┴─ ─ ─ ─ ─ ─ ─ ─ ─ ┘
//                                                                   ▲ frontier
//
// All that is known of a run lies in the tables, none of it in front of or between the blocks. Neighbouring free runs
// are one. Memory beyond the frontier has never been touched, and costs nothing until it is: it is used last, and then
// as many pages that lie idle go back to the operating system. Blocks above 32 KiB have chunks of their own, so that
// small ones do not break up their memory as long as they have other: what lies idle in the chunks of one kind serves
// the other kind before memory is used that never was.
//
// For one thread at a time.
module;
#include <bit>
#include <cstddef>
#include <cstdint>
export module buffers.resources:page_heap;
import buffers.core;
import buffers.std;
import :arena;
import :size_classes;

export namespace buffers::detail {

struct chunk;

/// The bit of a word, of a row of words, that stands for a number.
[[nodiscard]] constexpr std::uint64_t bit_of(std::size_t number) noexcept { return std::uint64_t{1} << (number % 64); }

/// Lists of anything with next and previous.
template <class T>
inline void put_in_front(T* one, T*& list) noexcept {
  one->previous = nullptr;
  one->next = list;
  if (list != nullptr) list->previous = one;
  list = one;
}
template <class T>
inline void take_out(T* one, T*& list) noexcept {
  (one->previous != nullptr ? one->previous->next : list) = one->next;
  if (one->next != nullptr) one->next->previous = one->previous;
}

/// Anything with next, previous, and a length of so many pages, by length: each length up to 7 has a list, then there
/// are four to each doubling.
template <class T>
class by_length {
 public:
  static constexpr std::size_t bins = 80;

  inline void insert(T* one) noexcept {
    const std::size_t bin = bin_of(one->length());
    put_in_front(one, bins_[bin]);
    filled_[bin / 64] |= bit_of(bin);
  }
  inline void remove(T* one) noexcept {
    const std::size_t bin = bin_of(one->length());
    take_out(one, bins_[bin]);
    if (bins_[bin] == nullptr) filled_[bin / 64] &= ~bit_of(bin);
  }
  /// One that is long enough, and one of the shortest of these. Looks at a few, however many there are: null as well
  /// when those are in the list of this length only, behind several that are too short.
  [[nodiscard]] T* find(std::uint32_t pages) const noexcept {
    constexpr int search_limit = 8;  // how many of a list
    std::size_t bin = bin_of(pages);
    T* best = nullptr;
    int looked_at = 0;
    for (T* one = bins_[bin]; one != nullptr && looked_at < search_limit; one = one->next, ++looked_at)
      if (one->length() >= pages && (best == nullptr || one->length() < best->length())) best = one;
    while (best == nullptr && ++bin < bins) {
      const std::uint64_t longer = filled_[bin / 64] & (~std::uint64_t{0} << (bin % 64));
      if (longer == 0) {
        bin |= 63;
        continue;
      }
      bin = bin / 64 * 64 + static_cast<std::size_t>(std::countr_zero(longer));
      best = bins_[bin];
    }
    return best;
  }
  /// Those of a list.
  [[nodiscard]] T* first(std::size_t bin) const noexcept { return bins_[bin]; }

 private:
  static inline std::size_t bin_of(std::uint32_t pages) noexcept {
    if (pages < 8) return pages;
    const auto log = static_cast<unsigned>(std::bit_width(pages)) - 1;
    const std::size_t bin = 4 * log - 4 + ((pages >> (log - 2)) & 3);
    return bin < bins - 1 ? bin : bins - 1;
  }
  T* bins_[bins] = {};
  std::uint64_t filled_[2] = {};  // lists that are not empty
};

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
  // 1, so that block_store::count_free() comes to 0 with the first block that is given back. Between
  // count_all_held(1) and count_all_held(-1), less the held blocks.
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

  [[nodiscard]] inline chunk* home() noexcept;
  [[nodiscard]] inline std::byte* memory() noexcept;

  [[nodiscard]] inline std::uint32_t length() const noexcept { return pages; }
  [[nodiscard]] inline bool is_free() const noexcept { return is == unused; }
  /// Whether all blocks of a run in use that have been in use are in the store, or held while that matters.
  [[nodiscard]] inline bool is_empty() const noexcept { return busy == (is == partial ? 0 : 1 - carved); }
  /// Whether none of its blocks is in use.
  [[nodiscard]] inline bool is_unused() const noexcept { return is_free() || is_empty(); }

  /// Puts it in front of a list, and takes it out of the list.
  inline void link(run*& list) noexcept { put_in_front(this, list); }
  inline void unlink(run*& list) noexcept { take_out(this, list); }
};

/// The sizes of blocks with a run of their own that are counted: the powers of two above largest_shared_block, up to
/// largest_block.
inline constexpr std::size_t whole_sizes = 13;
/// The number of such a size.
[[nodiscard]] constexpr std::size_t whole_bucket(std::size_t bytes) noexcept {
  // `|` changes nothing, and without it GCC warns of what would be if the bytes were 1.
  return static_cast<std::size_t>(std::countl_zero(largest_shared_block) -
                                  std::countl_zero((bytes - 1) | largest_shared_block));
}

/// At the front of the memory that upstream gave, with its tables behind it.
struct alignas(64) chunk {
  std::size_t upstream_bytes;
  std::uint32_t pages;     // all of them, those of the tables included
  std::uint32_t tables;    // pages in front that are not to be used
  std::uint32_t frontier;  // pages from here on have never been used
  std::uint32_t used;      // pages in runs in use
  std::uint32_t kind;      // 1: for blocks above largest_mixed_block, before others
  std::uint32_t room;      // pages from the frontier on, and those of a free run in front of it
  chunk* next;             // of those with about as much room
  chunk* previous;
  chunk* emptied_before;  // of those without a run in use
  chunk* emptied_after;
  chunk* below;  // the one before it in memory
  // For each page of a run in use, and the first and the last of a free one, the index of the run's first page.
  std::uint32_t* first_of;
  // Blocks with a run of their own that are free, by size as in whole_bucket: no more pages than are not in use.
  // Where these are is not known, as neighbours become one run.
  struct free_blocks {
    std::uint32_t count, pages;
  } free_whole[whole_sizes];
  std::uint32_t free_whole_pages;  // of all sizes

  [[nodiscard]] inline std::uint32_t length() const noexcept { return room; }
  [[nodiscard]] inline std::byte* memory() noexcept { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] inline bool contains(const void* byte) const noexcept {
    return address(byte) - address(this) < pages * page_bytes;
  }
  [[nodiscard]] inline run* runs() noexcept { return reinterpret_cast<run*>(this + 1); }
};

// cppcheck-suppress thisSubtraction ; the runs are an array behind their chunk
inline chunk* run::home() noexcept { return reinterpret_cast<chunk*>(this - index) - 1; }
inline std::byte* run::memory() noexcept { return home()->memory() + index * page_bytes; }

struct store_options {
  std::size_t first_chunk, largest_chunk, spare;
};

/// Chunks and the runs in them.
class page_heap {
  // Where a block was found last, for each aligned place in memory: the upper one of two chunks that share it. There
  // are so many places, or else they are so large, that the chunks for small blocks fill no more, but for small chunks,
  // of which more than two would share one.
  struct found {
    chunk* in;
    std::size_t bytes;
  };

 public:
  /// Who uses the runs, and knows what lies idle in them: that is asked for before memory is used that never was.
  struct user {
    /// The bytes of all blocks that are not in use ...
    virtual std::size_t idle_bytes() const noexcept = 0;
    /// ... and of those of them that have a run of their own, which is not free yet: held, in short.
    virtual std::size_t held_whole_bytes() const noexcept = 0;
    /// With 1, counts all held blocks in run::busy as if they were not in use; with -1, takes that back.
    virtual void count_all_held(int sign) const noexcept = 0;
    /// Frees the runs of the held blocks that have one of their own.
    virtual void free_held_whole() noexcept = 0;
    /// Frees shared runs without a block in use, of the size that has the most of them: so many bytes, or a sixteenth
    /// of what there is of that size, where that is more. Returns the bytes.
    virtual std::size_t free_some_empty(std::size_t bytes) noexcept = 0;
    /// Frees all runs without a block in use, held ones included.
    virtual void free_all_idle() noexcept = 0;

   protected:
    ~user() = default;
  };

  page_heap(const store_options& options, std::pmr::memory_resource* upstream, user& its_user);
  page_heap(const page_heap&) = delete;
  page_heap& operator=(const page_heap&) = delete;
  ~page_heap() { release(); }

  /// A run of so many pages; of no less than `fewest` where there is no memory for these. Throws what upstream throws.
  [[nodiscard]] run* allocate_shared(std::uint32_t pages, std::uint32_t fewest);
  /// A run for one block. Throws what upstream throws.
  [[nodiscard]] run* allocate_whole(std::size_t bytes);
  /// The same from where blocks of about that size were freed; null where none were.
  [[nodiscard]] run* allocate_freed(std::size_t bytes) noexcept;
  /// Frees a shared run.
  void free(run* freed) noexcept;
  /// Frees one of a block of its own. When all of them are: keep_spare_pages.
  void free_whole(run* freed) noexcept;
  /// Gives idle pages of chunks for large blocks to the operating system, but for as many as the options say.
  void keep_spare_pages() noexcept;
  /// Of the blocks of up to `bytes` bytes, a power of two, and more than half of it, that have a run of their own:
  /// those that are free.
  struct freed_blocks {
    std::size_t count, bytes;
  };
  [[nodiscard]] const freed_blocks& freed_whole(std::size_t bytes) const noexcept {
    return freed_[whole_bucket(bytes)];
  }
  /// So many pages more, or fewer, are in shared runs without a block in use.
  inline void count_empty(std::ptrdiff_t pages) noexcept { empty_pages_ += static_cast<std::size_t>(pages); }
  /// So many blocks came or went, which is worth as much: see reclaim.
  inline void earn(std::size_t blocks) noexcept { credit_ += static_cast<std::int64_t>(blocks); }

  /// Finds the chunks of blocks that are in use, until chunks come or go: it has a copy of what that takes, which stays
  /// in registers in a loop over many blocks.
  class finder {
   public:
    explicit inline finder(const page_heap& heap) noexcept
        : heap_(heap), found_(heap.found_), mask_(heap.found_mask_), bits_(heap.place_bits_) {}
    [[nodiscard]] inline chunk* operator()(const void* block) const noexcept {
      const found& last = found_[address(block) >> bits_ & mask_];
      if (address(block) - address(last.in) < last.bytes) [[likely]]
        return last.in;
      if (last.in != nullptr && last.in->below != nullptr && last.in->below->contains(block)) return last.in->below;
      return heap_.look_up(block);
    }

   private:
    const page_heap& heap_;
    const found* found_;
    std::size_t mask_;
    unsigned bits_;
  };
  /// The run of a block that is in use.
  [[nodiscard]] run* run_of(const void* block) const noexcept;
  /// The run in use that any byte is in, or null.
  [[nodiscard]] run* run_in_use_at(const void* byte) const noexcept;
  [[nodiscard]] bool owns(const void* byte) const noexcept { return find(byte) != nullptr; }
  /// f(run) for all runs in use, which f does not free.
  template <class F>
  void for_each_run(F f) const {
    for (std::size_t i = 0; i < chunk_count_; ++i)
      for (std::uint32_t at = chunks_[i]->tables; at < chunks_[i]->frontier; at += chunks_[i]->runs()[at].pages)
        if (run* const r = &chunks_[i]->runs()[at]; !r->is_free()) f(r);
  }

  /// Gives chunks without a run in use upstream until at most keep_bytes are in such, and other idle pages to the
  /// operating system.
  void trim(std::size_t keep_bytes) noexcept;
  /// Gives everything upstream.
  void release() noexcept;
  /// The bytes that are from upstream.
  [[nodiscard]] std::size_t capacity() const noexcept;
  /// The bytes of the chunks in which no block is in use.
  [[nodiscard]] std::size_t releasable() const noexcept;
  [[nodiscard]] std::pmr::memory_resource* upstream() const noexcept { return upstream_; }

 private:
  [[nodiscard]] static inline std::uint32_t kind_for(std::size_t bytes) noexcept {
    return bytes > largest_mixed_block ? 1 : 0;
  }

  // Runs.
  run* allocate(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest);
  run* take_from_bins(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* borrow(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* extend(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* extend_in(chunk& home, std::uint32_t pages) noexcept;
  run* take_few(std::uint32_t pages, std::uint32_t kind) noexcept;
  run* cut(run* from, std::uint32_t pages) noexcept;
  void occupy(run* r) noexcept;
  void insert(run* r) noexcept;
  void remove(run* r) noexcept;
  void change_room(chunk& c, std::uint32_t end_of_use) noexcept;
  void count_freed(chunk& home, std::size_t bucket, int blocks, std::int64_t pages) noexcept;
  void forget_one_freed(chunk& home, std::size_t bucket, std::uint32_t pages) noexcept;
  void forget_used(chunk& home, std::uint32_t pages) noexcept;

  // What lies idle, before memory is used that never was.
  template <class MayBegin, class Enough>
  void collect(std::size_t bytes, MayBegin may_begin, Enough is_enough) noexcept;
  run* reclaim(std::uint32_t pages, std::uint32_t kind) noexcept;
  [[nodiscard]] bool is_worth_gathering(std::size_t bytes) const noexcept;
  struct row {
    run* first;
    chunk* beyond;
  };
  [[nodiscard]] row find_row(std::uint32_t pages) const noexcept;
  run* gather(std::uint32_t pages, bool beyond) noexcept;
  void free_all_idle() noexcept;
  [[nodiscard]] std::size_t excess_pages() const noexcept;
  void pay_for(std::size_t pages) noexcept;
  std::size_t decommit(std::uint32_t kind, std::size_t pages) noexcept;

  // Chunks.
  [[nodiscard]] chunk* find(const void* byte) const noexcept;
  [[gnu::cold]] chunk* look_up(const void* block) const noexcept;
  void choose_places() noexcept;
  void forget_found() noexcept;
  run* in_new_chunk(std::uint32_t pages, std::uint32_t kind, std::uint32_t fewest, std::size_t& left);
  chunk* add_chunk(std::size_t wanted, std::size_t needed, std::size_t& left);
  void reserve_index();
  void give_upstream(std::size_t index) noexcept;
  bool give_all_upstream(std::uint32_t pages, std::size_t left) noexcept;
  void give_spare(std::size_t keep_bytes) noexcept;
  void list_empty(chunk& c) noexcept;
  void unlist_empty(chunk& c) noexcept;
  [[nodiscard]] std::size_t with_index(std::size_t chunk_bytes) const noexcept;
  [[nodiscard]] std::size_t used_pages() const noexcept { return used_pages_[0] + used_pages_[1]; }
  [[nodiscard]] std::size_t touched_pages() const noexcept { return touched_pages_[0] + touched_pages_[1]; }

  static constexpr unsigned least_place_bits = 16;
  static constexpr std::size_t fewest_found = 128, most_found = 512;
  [[nodiscard]] inline std::uintptr_t place_of(const void* byte) const noexcept { return address(byte) >> place_bits_; }
  std::size_t found_mask_ = 0;  // how many places there are, less one
  unsigned place_bits_ = 0;
  mutable found found_[most_found];

  chunk** chunks_;  // by address
  std::size_t chunk_count_ = 0, chunk_room_;
  chunk* few_chunks_[64];
  std::size_t capacity_ = 0;     // of the chunks, in bytes
  std::size_t small_bytes_ = 0;  // of those for small blocks
  std::size_t spare_bytes_ = 0;  // of those without a run in use
  chunk *oldest_empty_ = nullptr, *newest_empty_ = nullptr;
  // For each kind of chunk.
  by_length<run> free_[2];  // the free runs
  by_length<chunk> chunks_by_room_[2];
  std::size_t idle_pages_[2] = {};     // in free_, resident
  std::size_t used_pages_[2] = {};     // in runs in use
  std::size_t touched_pages_[2] = {};  // up to the frontiers

  freed_blocks freed_[whole_sizes] = {};
  std::size_t empty_pages_ = 0;   // of those used, in shared runs without a block in use
  std::size_t peak_pages_ = 0;    // the most in runs with a block in use, ever
  std::size_t unpaid_pages_ = 0;  // see pay_for
  std::size_t freed_runs_ = 0;    // since release()
  std::int64_t credit_ = 0;       // see reclaim
  store_options options_;
  std::pmr::memory_resource* upstream_;
  user& user_;
};

}  // namespace buffers::detail
