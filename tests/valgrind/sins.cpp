// One sin, by its name, for Valgrind to report, or something innocent that it must not: see run. Without a name, prints
// the names.
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <vector>
import buffers;

namespace {

using buffers::bump_resource;
using buffers::concurrent_pool_resource;
using buffers::pool_resource;
using buffers::slab_resource;

std::byte* bytes(std::pmr::memory_resource& from, std::size_t count) {
  return static_cast<std::byte*>(from.allocate(count));
}
void write(std::byte* byte) { *static_cast<volatile std::byte*>(byte) = std::byte{1}; }

template <class R>
void overrun() {
  R resource;
  write(bytes(resource, 50) + 50);
}
template <class R>
void use_after_free() {
  R resource;
  std::byte* const block = bytes(resource, 64);
  (void)bytes(resource, 64);
  resource.deallocate(block, 64);
  write(block);
}
template <class R>
void use_after_reset() {
  R resource;
  std::byte* const block = bytes(resource, 64);
  resource.reset();
  write(block);
}
template <class R>
void use_after_restore() {
  R resource;
  (void)bytes(resource, 64);
  const auto before = resource.checkpoint();
  std::byte* const block = bytes(resource, 64);
  resource.restore(before);
  write(block);
}
template <class R>
void use_after_scope() {
  R resource;
  std::byte* block = nullptr;
  {
    buffers::scope inner{resource};
    block = bytes(resource, 64);
  }
  write(block);
}
template <class R>
void beyond_the_used_part() {
  R resource;
  write(bytes(resource, 64) + 200);
}
template <class R>
void large_block_after_free() {
  R resource;
  std::byte* const block = bytes(resource, 3'000'000);
  resource.deallocate(block, 3'000'000);
  write(block + 1'000'000);
}

/// All that is allowed.
template <class R>
void use(R& resource) {
  std::byte* const first = bytes(resource, 50);
  std::byte* const second = bytes(resource, 64);
  std::memset(first, 1, 50);
  std::memset(second, 2, 64);
  resource.deallocate(first, 50);
  std::memset(bytes(resource, 40), 3, 40);
  resource.deallocate(second, 64);
  if constexpr (requires { resource.clear(); }) {
    (void)resource.allocate(20'000);
    resource.clear();
  }
  {
    std::pmr::vector<std::pmr::string> words(&resource);
    for (int i = 0; i < 200; ++i) words.emplace_back(static_cast<std::size_t>(i), 'a');
    words.erase(words.begin() + 50, words.begin() + 100);
  }
  if constexpr (requires { resource.checkpoint(); }) {
    const auto before = resource.checkpoint();
    std::memset(bytes(resource, 5000), 4, 5000);
    resource.restore(before);
    std::byte* const block = bytes(resource, 30);
    std::memset(block, 5, 30);
    if (resource.try_expand(block, 30, 90)) std::memset(block, 6, 90);
    resource.reset();
  }
}
/// ... and what comes of it in memory that outlives the resource.
template <class R>
void innocent() {
  static std::byte buffer[1 << 20];
  for (int round = 0; round < 3; ++round) {
    {
      bump_resource upstream{std::span<std::byte>(buffer)};
      R resource{{}, &upstream};
      use(resource);
      resource.release();
      std::memset(bytes(resource, 64), 3, 64);
    }
    std::memset(buffer, 7, sizeof buffer);
  }
}

struct {
  const char* name;
  void (*run)();
} const sins[] = {
    {"innocent.slab", innocent<slab_resource>},
    {"innocent.pool", innocent<pool_resource>},
    {"innocent.concurrent_pool", innocent<concurrent_pool_resource>},
    {"overrun.bump", overrun<bump_resource>},
    {"overrun.slab", overrun<slab_resource>},
    {"overrun.pool", overrun<pool_resource>},
    {"overrun.concurrent_pool", overrun<concurrent_pool_resource>},
    {"use_after_free.bump", use_after_free<bump_resource>},
    {"use_after_free.slab", use_after_free<slab_resource>},
    {"use_after_free.pool", use_after_free<pool_resource>},
    {"use_after_free.concurrent_pool", use_after_free<concurrent_pool_resource>},
    {"use_after_reset.bump", use_after_reset<bump_resource>},
    {"use_after_reset.slab", use_after_reset<slab_resource>},
    {"use_after_reset.pool", use_after_reset<pool_resource>},
    {"use_after_restore.bump", use_after_restore<bump_resource>},
    {"use_after_restore.slab", use_after_restore<slab_resource>},
    {"use_after_scope.bump", use_after_scope<bump_resource>},
    {"use_after_scope.slab", use_after_scope<slab_resource>},
    {"beyond_the_used_part.bump", beyond_the_used_part<bump_resource>},
    {"beyond_the_used_part.slab", beyond_the_used_part<slab_resource>},
    {"beyond_the_used_part.pool", beyond_the_used_part<pool_resource>},
    {"large_block_after_free.pool", large_block_after_free<pool_resource>},
    {"large_block_after_free.concurrent_pool", large_block_after_free<concurrent_pool_resource>},
};

}  // namespace

int main(int count, char** arguments) {
  for (const auto& sin : sins) {
    if (count == 1) std::puts(sin.name);
    if (count == 2 && std::string_view(arguments[1]) == sin.name) return sin.run(), 0;
  }
  return count == 1 ? 0 : 2;
}
