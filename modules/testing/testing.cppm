// test_resource stands under the code that is to be tested and watches what it does with memory; exception_test_loop
// runs code again and again with the first, the second, ... allocation failing.
//
//     block    ┌────────┬────────────────────────┬───────────────┐
//              │ fence  │ the bytes asked for    │ fence         │   at exactly the alignment asked for, and no more
//              └────────┴────────────────────────┴───────────────┘
//
//   operation               cost            what it does
//   allocate                O(bytes)        notes size, alignment and number, fills with 0xa5
//   deallocate              O(bytes)        checks pointer, size, alignment and fences, and counts what is wrong; with
//                                           many blocks live, also O(live blocks / 1024)
//   set_allocation_limit    O(1)            after n more allocations, the next one throws std::bad_alloc
//   default_resource_guard  O(1)            another default resource, up to the closing brace
//   exception_test_loop     n + 1 runs      for code that allocates n times: one for each failure, one without
//
// Threads: one at a time.
//
// It works with any test framework, or none. The three tests that a type with an allocator should have:
//
//     using my_list = std::pmr::list<std::pmr::string>;
//     {                                                          // it gives everything back
//       buffers::test_resource memory;
//       {
//         my_list list{&memory};
//         list.emplace_back("a string that is too long for the small-string optimisation");
//       }
//       assert(memory.is_clean() && memory.allocations() > 0);   // else: memory.first_mistake()
//     }
//     buffers::exception_test_loop([](std::pmr::memory_resource& memory) {
//       my_list list{&memory};                                   // it leaks nothing when any of its allocations fails
//       list.emplace_back("a string that is too long for the small-string optimisation");
//     });
//     {                                                          // it allocates from its own resource only
//       buffers::test_resource own, by_default;
//       buffers::default_resource_guard guard{&by_default};
//       {
//         my_list list{&own};
//         list.emplace_back("a string that is too long for the small-string optimisation");
//         my_list copy{list, &own};
//       }
//       assert(own.allocations() > 0 && own.is_clean() && by_default.allocations() == 0);
//     }
module;
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
export module buffers.testing;

namespace buffers::detail {
std::size_t exception_test_loop(const std::function<void(std::pmr::memory_resource&)>& code, std::size_t most_runs);
}  // namespace buffers::detail

export namespace buffers {

/// A memory resource that checks how it is used. Mistakes are counted and described, not thrown: they may happen in
/// destructors. An alignment that is no power of two is refused with std::invalid_argument. Blocks that are still live
/// when it is destroyed are freed.
class test_resource final : public std::pmr::memory_resource {
 public:
  test_resource() = default;
  test_resource(const test_resource&) = delete;
  test_resource& operator=(const test_resource&) = delete;
  ~test_resource() override;

  /// From now on, `allocations` succeed and the next one throws std::bad_alloc, as do all after it. Negative: no limit.
  void set_allocation_limit(std::int64_t allocations) noexcept { limit_ = allocations; }

  /// Blocks and bytes that are allocated and not yet deallocated.
  [[nodiscard]] std::size_t live_blocks() const noexcept { return live_blocks_; }
  [[nodiscard]] std::size_t live_bytes() const noexcept { return live_bytes_; }
  /// The greatest live_bytes().
  [[nodiscard]] std::size_t peak_bytes() const noexcept { return peak_bytes_; }
  /// All bytes ever allocated.
  [[nodiscard]] std::size_t total_bytes() const noexcept { return total_bytes_; }
  /// Calls that allocated, were refused by the limit, and deallocated.
  [[nodiscard]] std::size_t allocations() const noexcept { return allocations_; }
  [[nodiscard]] std::size_t refusals() const noexcept { return refusals_; }
  [[nodiscard]] std::size_t deallocations() const noexcept { return deallocations_; }
  /// The size and alignment of the newest request, refused ones included.
  [[nodiscard]] std::size_t last_bytes() const noexcept { return last_bytes_; }
  [[nodiscard]] std::size_t last_alignment() const noexcept { return last_alignment_; }

  /// Deallocations with a pointer, size or alignment that was never allocated, and blocks written to outside.
  [[nodiscard]] std::size_t mistakes() const noexcept { return mistakes_; }
  /// The first mistake in words; empty when there is none.
  [[nodiscard]] const std::string& first_mistake() const noexcept { return first_mistake_; }
  /// No mistake, and nothing live.
  [[nodiscard]] bool is_clean() const noexcept { return mistakes_ == 0 && live_blocks_ == 0; }

 private:
  struct header;
  // The live blocks, by a hash of their addresses.
  static constexpr std::size_t lists = 1024;
  [[nodiscard]] header*& list_of(const void* block) noexcept;
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  void mistake(const std::string& what);
  void check_fences(const header& block);
  void free(header* block) noexcept;

  header* live_[lists] = {};
  std::int64_t limit_ = -1;
  std::size_t live_blocks_ = 0, live_bytes_ = 0, peak_bytes_ = 0, total_bytes_ = 0;
  std::size_t allocations_ = 0, refusals_ = 0, deallocations_ = 0;
  std::size_t last_bytes_ = 0, last_alignment_ = 0, mistakes_ = 0;
  std::string first_mistake_;
};

/// Makes a resource the default one (std::pmr::get_default_resource()), and the one before it again when it is
/// destroyed. Threads: the default is the whole program's.
class [[nodiscard]] default_resource_guard {
 public:
  explicit default_resource_guard(std::pmr::memory_resource* resource) noexcept
      : before_(std::pmr::set_default_resource(resource)) {}
  default_resource_guard(const default_resource_guard&) = delete;
  default_resource_guard& operator=(const default_resource_guard&) = delete;
  ~default_resource_guard() { std::pmr::set_default_resource(before_); }

 private:
  std::pmr::memory_resource* before_;
};

/// Runs `code(resource)` on a fresh test_resource with an allocation limit of 0, 1, 2, ... until it runs without being
/// refused one: code that handles a failure itself is run with the later ones, too. Throws std::logic_error when a run
/// made a mistake or left something allocated, and when more than `most_runs` runs were not enough; other exceptions
/// pass, a std::bad_alloc that is not from the limit included. Returns the number of runs.
template <std::invocable<std::pmr::memory_resource&> F>
std::size_t exception_test_loop(F&& code, std::size_t most_runs = 10'000) {
  return detail::exception_test_loop(std::ref(code), most_runs);
}

}  // namespace buffers
