# To be sourced: ends the script if a program that it needs is missing.
for program in java javac mvn python3 curl; do
    command -v "$program" > /dev/null || { echo "$program is missing: apt-get install openjdk-17-jdk-headless maven python3-venv curl"; exit 1; }
done
