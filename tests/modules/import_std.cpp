// A program that includes nothing and imports the standard library.
import std;
import buffers;

int main() {
  buffers::slab_resource scratch;
  std::pmr::vector<std::pmr::string> words{&scratch};
  words.emplace_back("a string that is too long for the small-string optimisation");
  auto a = buffers::alloc<double>(scratch, 2, 3);
  a[1, 2] = 1.5;
  try {
    (void)buffers::bump_resource{64}.allocate(65);
  } catch (const buffers::exhausted& e) {
    std::println("{}; {} bytes used", e.what(), scratch.used());
  }
  std::size_t length = 0;
  for (const auto& word : words) length += word.size();
  return length == 59 && a[1, 2] == 1.5 ? 0 : 1;
}
