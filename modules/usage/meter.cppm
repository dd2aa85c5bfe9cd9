// meter_resource counts what goes through it, in bytes and calls: now, at most, in all, refused, lost to padding; in
// total and for named parts of the program.
//
//     all      ├──────────────────────────────────────────────┤
//       load     ├───────────────┤
//         parse        ├──────┤
//       solve                       ├──────────────────┤
//
// push and pop, or a meter_scope, give a name to what happens in between: it counts for that name and for all around
// it.
//
//   operation              cost                     what it does
//   allocate, deallocate   a mutex and upstream     counts, once for each open name
//   push, pop              O(names beside it)       memory for a name that is new, and none after that
//   live, peak, stats ...  a mutex                  the counts at one moment
//   report                 O(names)                 a table of them all, and of the sizes
//
// Threads: allocate and deallocate from several at once when upstream allows that; all that reads, from any thread at
// any time. The open names are the meter's, not a thread's: push and pop belong to one thread.
//
//     buffers::meter_resource meter;
//     {
//       buffers::meter_scope loading{meter, "load"};
//       std::pmr::vector<int> numbers(1000, &meter);
//     }
//     assert(meter.live() == 0 && meter.peak() == 4000);
//     meter.report(std::cout);
module;
#include <array>
#include <concepts>
#include <cstddef>
#include <gsl/pointers>
#include <iosfwd>
#include <memory_resource>
#include <mutex>
#include <string_view>
export module buffers.usage:meter;
import buffers.core;
import buffers.resources;

export namespace buffers {

/// A number of bytes, and of the calls or blocks that they are from.
struct meter_tally {
  std::ptrdiff_t bytes = 0;
  std::ptrdiff_t calls = 0;
  bool operator==(const meter_tally&) const = default;
};

/// What a meter saw, in all or while a name was open, as it was at one moment.
struct meter_stats {
  /// Allocated and not given back, also when a scope or reset() of a buffer upstream took it back. Of a name: negative
  /// when more was freed than allocated while it was open.
  meter_tally live;
  /// The greatest live bytes, and the greatest number of live blocks, which may have been at another time.
  meter_tally peak;
  /// Allocated, given back or not.
  meter_tally total;
  /// Asked for and refused by upstream.
  meter_tally failed;
  /// The bytes that the live blocks take beyond their own. When upstream is a buffer (with checkpoints and used()),
  /// what its used() grew by and live did not, seen at the last call; less than nothing when the buffer went back past
  /// blocks that were not deallocated. Otherwise, what is missing from each live block to a multiple of its alignment,
  /// which no other such block can use.
  std::ptrdiff_t padding = 0;
  /// How often the name was pushed; 1 for the whole.
  std::size_t entries = 0;
  bool operator==(const meter_stats&) const = default;
};

/// Counts what is asked of another resource. Every count is exact when upstream fails, whatever it throws. A request
/// for no bytes is answered here and not counted.
class meter_resource final : public detail::resource_base<meter_resource> {
 public:
  /// In front of upstream, which must outlive this. The memory for the names that are pushed is from `notes`, which
  /// must outlive this as well and not ask this meter; a meter without names allocates nothing.
  explicit meter_resource(gsl::not_null<std::pmr::memory_resource*> upstream = std::pmr::new_delete_resource(),
                          gsl::not_null<std::pmr::memory_resource*> notes = std::pmr::new_delete_resource()) noexcept
      : meter_resource(upstream, notes, nullptr) {}
  /// ... which is a buffer, whose padding can be seen. Null ends the program, as above.
  template <checkpointable R>
    requires std::derived_from<R, std::pmr::memory_resource> && (!detail::summing_over_threads<R>) &&
             requires(const R& r) { r.used(); }
  explicit meter_resource(R* upstream,
                          gsl::not_null<std::pmr::memory_resource*> notes = std::pmr::new_delete_resource()) noexcept
      : meter_resource(gsl::not_null<std::pmr::memory_resource*>(upstream), notes,
                       [](const std::pmr::memory_resource& buffer) { return static_cast<const R&>(buffer).used(); }) {}
  ~meter_resource() override;

  /// Memory from upstream, counted when it is there.
  /// Throws: what upstream throws, which counts as failed; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return answer(bytes, alignment);
    void* block;
    try {
      block = upstream_->allocate(bytes, alignment);
    } catch (...) {
      count_failed(bytes);
      throw;
    }
    count_allocated(bytes, alignment);
    return block;
  }

  /// Gives the block upstream. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (detail::is_nothing(block, bytes)) return;
    count_deallocated(bytes, alignment);  // before another thread may have it
    upstream_->deallocate(block, bytes, alignment);
    if (used_ != nullptr) look_at_used();
  }

  /// The bytes allocated and not given back.
  [[nodiscard]] std::size_t live() const noexcept { return static_cast<std::size_t>(stats().live.bytes); }
  /// The greatest live() since construction or reset_peak().
  [[nodiscard]] std::size_t peak() const noexcept { return static_cast<std::size_t>(stats().peak.bytes); }
  /// All bytes ever allocated.
  [[nodiscard]] std::size_t total() const noexcept { return static_cast<std::size_t>(stats().total.bytes); }
  /// The calls that failed.
  [[nodiscard]] std::size_t failed() const noexcept { return static_cast<std::size_t>(stats().failed.calls); }
  /// The bytes that live blocks take beyond their own, as far as they can be seen from here: see meter_stats.
  [[nodiscard]] std::size_t padding() const noexcept;
  /// All of it, and in calls as well.
  [[nodiscard]] meter_stats stats() const noexcept;
  /// From now on, the peak is of what is live now and later; those of the names stay.
  void reset_peak() noexcept;

  /// How many blocks of each size were allocated: element i counts those of 2^i to 2^(i+1)-1 bytes.
  [[nodiscard]] std::array<std::size_t, 64> histogram() const noexcept;

  /// Begins a part of the program: what follows counts for `name` and for the names around it. The same name in the
  /// same place goes on with the counts of the last time. Throws what `notes` throws, with nothing changed.
  inline void push(std::string_view name) { static_cast<void>(begin(name)); }
  /// Ends the part begun last, and returns what was counted in it, since its push.
  /// Throws order_error when none is open.
  meter_stats pop();
  /// What was counted under a name since construction: "load", or "load/parse" for one within another. The peak is the
  /// greatest of any one time, the rest the sum. Throws invalid_argument when there is none.
  [[nodiscard]] meter_stats stats(std::string_view path) const;

  /// Writes the counts of the whole and of all names, and the histogram, as a table of lines of text. Allocates nothing
  /// itself.
  void report(std::ostream& os) const;

  /// Where the memory is from.
  [[nodiscard]] inline std::pmr::memory_resource* upstream_resource() const noexcept { return upstream_; }

 private:
  friend class meter_scope;
  using used_function = std::size_t (*)(const std::pmr::memory_resource&);

  struct node {
    meter_stats now;     // of this entry, with the padding left out
    meter_stats before;  // of those before
    std::ptrdiff_t taken_before = 0;
    std::string_view name = "all";
    node* parent = nullptr;
    node* first = nullptr;  // of those within it
    node* next = nullptr;   // beside it
  };

  meter_resource(std::pmr::memory_resource* upstream, std::pmr::memory_resource* notes, used_function used) noexcept;
  node* begin(std::string_view name);
  void end_through(const node* begun) noexcept;
  meter_stats end() noexcept;
  [[gnu::cold]] void* answer(std::size_t bytes, std::size_t alignment);
  void count_allocated(std::size_t bytes, std::size_t alignment) noexcept;
  void count_deallocated(std::size_t bytes, std::size_t alignment) noexcept;
  void look_at_used() noexcept;
  [[gnu::cold]] void count_failed(std::size_t bytes) noexcept;
  void note_taken(std::size_t bytes, std::size_t alignment, int sign) noexcept;
  static const node* find(const node& outer, std::string_view path) noexcept;
  bool is_open(const node& n) const noexcept;
  meter_stats current(const node& n) const noexcept;
  meter_stats in_all(const node& n) const noexcept;

  mutable std::mutex mutex_;  // of all that follows
  node all_;
  node* open_ = &all_;
  std::ptrdiff_t taken_ = 0;  // bytes in upstream, padding included
  std::array<std::size_t, 64> histogram_ = {};
  std::pmr::memory_resource* upstream_;
  std::pmr::memory_resource* notes_;
  used_function used_;
};

/// A name for a part of the program: pushes it, and pops it at the closing brace, with what was pushed in between and
/// not popped.
class [[nodiscard]] meter_scope {
 public:
  /// Throws what push throws.
  inline meter_scope(meter_resource& meter, std::string_view name) : meter_(meter), begun_(meter.begin(name)) {}
  meter_scope(const meter_scope&) = delete;
  meter_scope& operator=(const meter_scope&) = delete;
  inline ~meter_scope() { meter_.end_through(begun_); }

 private:
  meter_resource& meter_;
  const meter_resource::node* begun_;
};

}  // namespace buffers
