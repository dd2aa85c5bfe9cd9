// page_resource gets whole pages from the operating system: an upstream for large buffers.
//
//     without guard pages   ┌──────────────────────┬─────────┐
//                           │ block                │ unused  │            whole pages
//                           └──────────────────────┴─────────┘
//     with guard pages      ╳╳╳╳╳╳╳╳╳┌─────────┬─────────────┐╳╳╳╳╳╳╳╳╳
//                           ╳ guard ╳│ unused  │ block       │╳ guard ╳   touching a guard page is fatal
//                           ╳╳╳╳╳╳╳╳╳└─────────┴─────────────┘╳╳╳╳╳╳╳╳╳
//
//   operation     cost                             what it does
//   allocate      a few system calls               a mapping of its own for the block
//   ... prefault  and O(n)                         with all pages in place
//   deallocate    a system call                    gives it back: touching it later is fatal, until the addresses are
//                                                  used again
//
// Threads: any thread at any time.
//
//     buffers::page_resource pages{{.huge_pages = true, .prefault = true}};
//     buffers::bump_resource buffer{64 << 20, &pages};
//     std::pmr::vector<double> samples(1'000'000, 0.0, &buffer);  // no page faults here
module;
#include <cstddef>
export module buffers.resources:page;
import buffers.core;
import buffers.std;
import :adaptor;

export namespace buffers {

/// What kind of pages a page_resource asks for.
struct page_options {
  /// Blocks of 2 MiB and more lie in pages that begin at a multiple of 2 MiB, and the system is asked to make these
  /// huge ones; it may not. Fewer misses in the translation of addresses.
  bool huge_pages = false;
  /// The pages are there when allocate returns, and not when they are first touched.
  bool prefault = false;
  /// An inaccessible page before and one after each block: touching it ends the program with a segmentation fault. The
  /// block ends at the guard page, or less than its alignment before it, or less than a page when it is aligned to more
  /// than that.
  bool guard_pages = false;
};

/// Memory straight from the operating system, each block in a mapping of its own. It is zero at first. Without guard
/// pages the rest of the block's last page may be used, too.
class page_resource final : public detail::resource_base<page_resource> {
 public:
  /// Maps nothing before the first request. What the options ask for holds for all blocks.
  explicit page_resource(const page_options& options = {}) noexcept;
  /// Live blocks stay mapped.
  ~page_resource() override = default;

  /// Zeroed memory for `bytes` bytes, aligned to `alignment`.
  /// Throws: bad_alloc when the system has none; invalid_argument when alignment is no power of two.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (!detail::is_plain(bytes, alignment)) [[unlikely]]
      return detail::answer(bytes, alignment);
    return map(bytes, alignment);
  }

  /// Gives the block's pages back to the system. Null is ignored.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (!detail::is_nothing(block, bytes)) unmap(block, bytes, alignment);
  }

  /// The bytes handed out.
  [[nodiscard]] inline std::size_t used() const noexcept { return count_.used(); }
  /// The greatest used() since construction or reset_peak().
  [[nodiscard]] inline std::size_t peak() const noexcept { return count_.peak(); }
  /// peak() is used() from now on.
  inline void reset_peak() noexcept { count_.reset_peak(); }
  /// The bytes of the pages behind them, guard pages not included.
  [[nodiscard]] inline std::size_t capacity() const noexcept { return mapped_.load(std::memory_order_relaxed); }
  /// The size of a page in bytes: blocks take whole ones.
  [[nodiscard]] inline std::size_t page_bytes() const noexcept { return page_; }

 private:
  void* map(std::size_t bytes, std::size_t alignment);
  void unmap(void* block, std::size_t bytes, std::size_t alignment) noexcept;
  std::byte* map_pages(std::size_t bytes, std::size_t boundary) const;
  bool note_block(std::byte* first, std::size_t bytes, std::size_t alignment) const noexcept;
  void strike_note(std::byte* first, std::size_t bytes, std::size_t alignment) const noexcept;
  bool prefault(std::byte* first, std::size_t bytes) const noexcept;

  page_options options_;
  std::size_t page_;
  std::size_t in_front_, behind_;  // bytes of the pages around each block's: guards, and the hardened build's notes
  detail::shared_count count_;
  std::atomic<std::size_t> mapped_ = 0;
};

}  // namespace buffers
