export default function HostsPage() {
  return null;
}
