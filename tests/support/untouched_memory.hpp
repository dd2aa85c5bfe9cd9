// Memory that costs nothing until it is touched, for tests with blocks of any size.
#pragma once
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory_resource>
#include <new>
#include <vector>

/// A memory resource straight over mmap. Blocks lie at odd multiples of their alignment. Counts what it gives, has a
/// budget, fails when it is told to, and notes deallocations that do not fit.
class untouched_memory final : public std::pmr::memory_resource {
 public:
  untouched_memory() = default;
  untouched_memory(const untouched_memory&) = delete;
  untouched_memory& operator=(const untouched_memory&) = delete;
  ~untouched_memory() override {
    for (const auto& [block, m] : live_) munmap(m.start, m.mapped);
  }

  /// From now on, requests that would make more than this live throw std::bad_alloc.
  void set_budget(std::size_t bytes) { budget_ = bytes; }

  /// From now on, `allocations` succeed and all after them throw std::bad_alloc. SIZE_MAX: no limit.
  void fail_after(std::size_t allocations) { allowed_ = allocations; }

  std::size_t live_blocks() const { return live_.size(); }
  std::size_t live_bytes() const { return live_bytes_; }
  std::size_t calls() const { return calls_; }
  /// Of all that is live, the bytes of the pages that were touched and not given back to the operating system.
  std::size_t resident_bytes() const {
    std::size_t pages = 0;
    for (const auto& [block, m] : live_) {
      std::vector<unsigned char> is_resident((m.mapped + 4095) / 4096);
      mincore(m.start, m.mapped, is_resident.data());
      for (const unsigned char page : is_resident) pages += page & 1u;
    }
    return pages * 4096;
  }
  std::size_t refusals() const { return refusals_; }
  bool is_clean() const { return mistakes_ == 0 && live_.empty(); }
  std::size_t mistakes() const { return mistakes_; }

 private:
  struct mapping {
    void* start;
    std::size_t mapped, bytes, alignment;
  };

  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++calls_;
    if (allowed_ == 0 || bytes > budget_ || live_bytes_ > budget_ - bytes || alignment > (std::size_t{1} << 40)) {
      ++refusals_;
      throw std::bad_alloc();
    }
    if (allowed_ != SIZE_MAX) --allowed_;
    const std::size_t mapped = bytes + 2 * alignment;
    void* const start =
        mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED) throw std::bad_alloc();
    std::uintptr_t at = (reinterpret_cast<std::uintptr_t>(start) + alignment - 1) / alignment * alignment;
    if (at / alignment % 2 == 0) at += alignment;
    live_[reinterpret_cast<void*>(at)] = {start, mapped, bytes, alignment};
    live_bytes_ += bytes;
    return reinterpret_cast<void*>(at);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    ++calls_;
    const auto found = live_.find(block);
    if (found == live_.end()) {
      ++mistakes_;
      return;
    }
    if (found->second.bytes != bytes || found->second.alignment != alignment) ++mistakes_;
    live_bytes_ -= found->second.bytes;
    munmap(found->second.start, found->second.mapped);
    live_.erase(found);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  std::map<void*, mapping> live_;
  std::size_t live_bytes_ = 0, calls_ = 0, refusals_ = 0, mistakes_ = 0;
  std::size_t allowed_ = SIZE_MAX;
  std::size_t budget_ = std::numeric_limits<std::size_t>::max() / 4;
};
