// A test_resource that says when two threads were in it at once.
// To be included after `import buffers.testing;`, and after <atomic>, <cstddef>, <cstdint>, <memory_resource>, <new>
// and <thread>.
#pragma once

class one_at_a_time final : public std::pmr::memory_resource {
 public:
  std::atomic<std::size_t> together = 0, calls = 0;
  std::size_t refused = SIZE_MAX;  // requests of this size fail
  buffers::test_resource below;

  struct visit {
    explicit visit(one_at_a_time& of) : of(of) {
      of.together += ++of.inside_ != 1;
      ++of.calls;
      std::this_thread::yield();
    }
    ~visit() { --of.inside_; }
    one_at_a_time& of;
  };

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    const visit here(*this);
    if (bytes == refused) throw std::bad_alloc();
    return below.allocate(bytes, alignment);
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    const visit here(*this);
    below.deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  std::atomic<int> inside_ = 0;
};
