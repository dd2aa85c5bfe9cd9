#include <pthread.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory_resource>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "support/child.hpp"
import buffers;
import buffers.testing;

using buffers::test_resource;
using buffers::zeroing_resource;

namespace {

/// Looks at what it is given back.
struct looking_upstream final : std::pmr::memory_resource {
  std::size_t given_back = 0, not_zero = 0, zeros_handed_out = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const block = std::pmr::new_delete_resource()->allocate(bytes, alignment);
    std::memset(block, 0xa5, bytes);
    return block;
  }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    const std::span all(static_cast<std::byte*>(block), bytes);
    given_back += bytes;
    not_zero += bytes - static_cast<std::size_t>(std::ranges::count(all, std::byte{}));
    std::pmr::new_delete_resource()->deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

// --- secrets in memory that the optimiser knows to be dead -----------------------------------------------------------

constexpr std::size_t length = 512;
unsigned char secret[length];

/// Runs f on a thread whose stack is ours, and says how often 16 bytes of the secret in a row are left in it.
std::size_t left_by(void* (*f)(void*)) {
  constexpr std::size_t size = std::size_t{1} << 20;
  auto* const stack = static_cast<unsigned char*>(::operator new(size, std::align_val_t{4096}));
  std::memset(stack, 0, size);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, size);
  pthread_t thread;
  BOOST_REQUIRE(pthread_create(&thread, &attributes, f, nullptr) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
  std::size_t found = 0;
  for (std::size_t i = 0; i + 16 <= length; i += 16)
    found += std::search(stack, stack + size, secret + i, secret + i + 16) != stack + size;
  ::operator delete(stack, std::align_val_t{4096});
  return found;
}

/// Hands out an array of the caller. All that it does is in sight of the optimiser.
struct over_array final : std::pmr::memory_resource {
  explicit over_array(unsigned char* memory) : memory(memory) {}
  unsigned char* memory;

  void* do_allocate(std::size_t, std::size_t) override { return memory; }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

/// Room for an object that is not destroyed: the destructor of memory_resource is in another library, and may look at
/// everything.
template <class T>
struct room {
  alignas(T) std::byte memory[sizeof(T)];
};

void use(void* block) {
  std::memcpy(block, secret, length);
  static_cast<void>(buffers::detail::launder_origin(block));  // somebody may have looked at it
}

void* leaves_it(void*) {
  unsigned char memory[length];
  room<over_array> a;
  auto* const upstream = ::new (a.memory) over_array{memory};
  void* const block = upstream->do_allocate(length, 1);
  use(block);
  std::memset(block, 0, length);
  upstream->do_deallocate(block, length, 1);  // deallocate() would hide from GCC that it is this function
  return nullptr;
}

void* wipes_it(void*) {
  unsigned char memory[length];
  room<over_array> a;
  room<zeroing_resource> b;
  auto* const wiped = ::new (b.memory) zeroing_resource{::new (a.memory) over_array{memory}};
  void* const block = wiped->allocate(length);
  use(block);
  wiped->deallocate(block, length);
  return nullptr;
}

/// The same with nothing but the wiping.
void* wipes_an_array(void*) {
  unsigned char memory[length];
  use(memory);
  buffers::detail::wipe(memory, length);
  return nullptr;
}

#if defined(__OPTIMIZE__)
constexpr bool optimised = true;
#else
constexpr bool optimised = false;
#endif

struct fresh_secret {
  fresh_secret() {
    for (std::size_t i = 0; i < length; ++i) secret[i] = static_cast<unsigned char>((i * 73 + i / 7 * 31) % 255 + 1);
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(zeroing)

BOOST_AUTO_TEST_CASE(what_is_given_back_is_zero) {
  looking_upstream upstream;
  zeroing_resource wiped{&upstream};
  BOOST_TEST(wiped.upstream_resource() == &upstream);
  std::size_t all = 0;
  for (std::size_t bytes : {1uz, 7uz, 16uz, 100uz, 4096uz, 100'000uz}) {
    void* const block = wiped.allocate(bytes);
    std::memset(block, 0xff, bytes);
    wiped.deallocate(block, bytes);
    all += bytes;
    BOOST_TEST(upstream.given_back == all);
    BOOST_TEST(upstream.not_zero == 0u);
  }
  // ... which it would not be by itself.
  upstream.deallocate(upstream.allocate(100), 100);
  BOOST_TEST(upstream.not_zero == 100u);
}

BOOST_AUTO_TEST_CASE(what_is_handed_out_is_as_upstream_gives_it) {
  test_resource upstream;
  zeroing_resource wiped{&upstream};
  auto* const block = static_cast<unsigned char*>(wiped.allocate(100, 64));
  BOOST_TEST(std::count(block, block + 100, 0xa5) == 100);
  BOOST_TEST(upstream.last_alignment() == 64u);
  wiped.deallocate(block, 100, 64);
  BOOST_TEST(upstream.first_mistake() == "");  // no byte around it either
  BOOST_TEST(upstream.is_clean());
}

BOOST_FIXTURE_TEST_CASE(the_optimiser_does_not_leave_it_out, fresh_secret) {
  BOOST_TEST(left_by(wipes_it) == 0u);
  BOOST_TEST(left_by(wipes_an_array) == 0u);
}

BOOST_FIXTURE_TEST_CASE(but_would_if_it_could, fresh_secret,
                        *boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
                          return boost::test_tools::assertion_result(optimised && !sanitized && !thread_sanitized);
                        })) {
  BOOST_TEST(left_by(leaves_it) > 0u);  // the end of the thread may overwrite some
}

BOOST_AUTO_TEST_CASE(strings_that_grow_leave_nothing_behind) {
  looking_upstream upstream;
  zeroing_resource wiped{&upstream};
  {
    std::pmr::string password{"a string that is too long for the object itself", &wiped};
    for (int i = 0; i < 5; ++i) password += password;
    BOOST_TEST(password.size() == 47u * 32);
  }
  BOOST_TEST(upstream.given_back >= 47u * 32);
  BOOST_TEST(upstream.not_zero == 0u);
}

BOOST_AUTO_TEST_CASE(under_a_buffer_whole_slabs_are_wiped) {
  looking_upstream upstream;
  zeroing_resource wiped{&upstream};
  {
    buffers::slab_resource scratch{{.first_slab = 1024}, &wiped};
    for (int i = 0; i < 20; ++i) {
      buffers::scope inner{scratch};
      std::memset(scratch.allocate(700), 0xff, 700);
    }
    std::memset(scratch.allocate(5000), 0xff, 5000);
  }
  BOOST_TEST(upstream.given_back >= 6000u);
  BOOST_TEST(upstream.not_zero == 0u);
}

BOOST_AUTO_TEST_CASE(what_a_scope_takes_back_is_not_wiped) {
  alignas(16) std::byte memory[256];
  buffers::bump_resource buffer{std::span(memory)};
  zeroing_resource wiped{&buffer};
  {
    buffers::scope inner{buffer};
    std::memset(wiped.allocate(100), 0xff, 100);
  }
  const auto* const again = static_cast<unsigned char*>(buffer.allocate(100));
  BOOST_TEST(std::count(again + 16, again + 100, 0xff) == 84);  // the hardened build writes to the first
}

BOOST_AUTO_TEST_CASE(an_upstream_that_fails) {
  test_resource upstream;
  upstream.set_allocation_limit(0);
  zeroing_resource wiped{&upstream};
  BOOST_CHECK_THROW((void)wiped.allocate(100), std::bad_alloc);
  BOOST_TEST(upstream.refusals() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
