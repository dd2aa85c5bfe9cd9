// What the resources that pass requests on to another have in common: which requests they answer themselves, and
// counting for several threads.
module;
#include <bit>
#include <cstddef>
export module buffers.resources:adaptor;
import buffers.core;
import buffers.std;
import :arena;

namespace buffers::detail {

/// Whether a request asks for some bytes, no more than there can be, at an alignment that is one. Any other request
/// does not go upstream.
export [[nodiscard]] inline bool is_plain(std::size_t bytes, std::size_t alignment) noexcept {
  return bytes - 1 < largest_request && std::has_single_bit(alignment);
}

/// The answer to a request that is not: a pointer to nothing, invalid_argument or bad_alloc.
export [[gnu::cold]] void* answer(std::size_t bytes, std::size_t alignment) {
  require_alignment(alignment);
  if (bytes != 0) throw_bad_alloc();
  return no_bytes(alignment);
}

/// Whether there is anything to give back.
export [[nodiscard]] inline bool is_nothing(const void* block, std::size_t bytes) noexcept {
  return block == nullptr || bytes == 0;
}

/// The virtual functions of a resource, which call its own; it is not copied, and equal to none but itself.
export template <class R>
class resource_base : public std::pmr::memory_resource {
 public:
  resource_base(const resource_base&) = delete;
  resource_base& operator=(const resource_base&) = delete;

 protected:
  resource_base() = default;
  ~resource_base() override = default;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    return static_cast<R*>(this)->allocate(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    static_cast<R*>(this)->deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

/// Bytes in use and the most so far, counted exactly by any number of threads.
class shared_count {
 public:
  /// Takes bytes out of `limit`. False, and nothing is done, when not so many are left; `used` is how many are in use:
  /// with these bytes, or in vain.
  [[nodiscard]] inline bool reserve(std::size_t bytes, std::size_t limit, std::size_t& used) noexcept {
    std::size_t before = used_.load(std::memory_order_relaxed);
    do {
      used = before;
      if (bytes > limit - before) [[unlikely]]
        return false;
    } while (!used_.compare_exchange_weak(before, before + bytes, std::memory_order_acq_rel));
    used = before + bytes;
    return true;
  }
  inline void give_back(std::size_t bytes) noexcept { used_.fetch_sub(bytes, std::memory_order_acq_rel); }

  [[nodiscard]] inline std::size_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  [[nodiscard]] inline std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }
  inline void raise_peak(std::size_t to) noexcept {
    std::size_t before = peak_.load(std::memory_order_relaxed);
    while (before < to && !peak_.compare_exchange_weak(before, to, std::memory_order_acq_rel)) {
    }
  }
  /// From now on, the peak is of what is in use now and later. The exchange sees the use behind each peak that it
  /// overwrites.
  inline void reset_peak() noexcept {
    static_cast<void>(peak_.exchange(0, std::memory_order_acq_rel));
    raise_peak(used());
  }

 private:
  std::atomic<std::size_t> used_ = 0;
  std::atomic<std::size_t> peak_ = 0;
};

}  // namespace buffers::detail
